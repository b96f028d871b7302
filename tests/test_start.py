"""What is not used is not imported: a cold start waits for it."""

import json

import pytest
import torch

# Each takes a tenth of a second to several seconds.
NEVER = {
    "peft",
    "matplotlib",
    "jax",
    "flax",
    "optax",
    "ray",
    "llguidance",
    "pandas",
    "scipy",
    "ctranslate2",
    "tensorflow",
}
OF_SPACY_TRANSFORMERS = {"transformers", "huggingface_hub", "accelerate", "spacy_transformers"}
OF_SPACY = {"spacy", "thinc", "spacy_llm", "typer", "jinja2", "pydantic", "requests", "srsly"}
# torch's own late parts, which a wrong call at import time would bring in
LATE_IN_TORCH = {"torch._dynamo", "torch._inductor", "torch.onnx", "sympy"}

CORE = "import spacy_bloom"
HELP = """
import sys
sys.argv = ["spacy", "bloom", "--help"]
from spacy.cli._util import setup_cli
try:
    setup_cli()
except SystemExit:
    pass
"""
LOAD = """
import spacy, spacy_bloom
spacy.load(spacy_bloom.bundled_path("xx_bloom_tiny_demo"))
"""
WITHOUT_US = "import spacy, spacy.cli, spacy_transformers"
TELL = "\nimport json, sys\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"


@pytest.fixture(scope="session")
def modules_after(python_torch):
    """A function that runs code where torch has been imported. RETURNS (set): What is imported then."""

    def run(source):
        result = python_torch.run("-c", source + TELL)
        assert result.returncode == 0, result.stderr[-2000:]
        return set(json.loads(result.stderr.splitlines()[-1]))

    return run


@pytest.mark.parametrize(
    "source, forbidden",
    [
        (CORE, NEVER | OF_SPACY_TRANSFORMERS | OF_SPACY | LATE_IN_TORCH),
        (HELP, NEVER | OF_SPACY_TRANSFORMERS | LATE_IN_TORCH),
    ],
    ids=["import", "help"],
)
def test_a_start_imports_nothing_that_it_does_not_use(source, forbidden, modules_after):
    assert modules_after(source) & forbidden == set()


def test_a_pipeline_imports_no_library_that_spacy_transformers_does_not(modules_after):
    ours, theirs = modules_after(LOAD), modules_after(WITHOUT_US)
    libraries = {name.partition(".")[0] for name in ours - theirs if not name.startswith("_")}
    assert libraries & NEVER == set()
    # torch 2.4 imports sympy for models without memory.
    unwanted = OF_SPACY_TRANSFORMERS | (LATE_IN_TORCH if torch.__version__ >= "2.5" else set())
    late = {name for name in ours - theirs if name.startswith(tuple(unwanted))}
    assert {name for name in late if not name.startswith("spacy_transformers")} == set()
