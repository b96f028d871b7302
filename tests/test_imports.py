"""The one direction of imports: which part of the package may know which, and which libraries."""

import ast
from pathlib import Path

import pytest

import spacy_bloom

ROOT = Path(spacy_bloom.__file__).parent
LEVELS = {
    "errors": 0,
    "settings": 0.2,  # raises errors
    "files": 0.2,
    "kinship": 0.2,
    "sandbox": 0.2,
    "config": 0.5,  # has settings in a file
    "published": 0.7,  # makes configs
    "checkpoint": 1,  # below the models: they load and save themselves
    "bloom": 1.5,
    "tokenizer": 1.5,
    "quantization": 1.8,  # generation finds best pieces with its integers
    "conversion": 2,  # of whole checkpoints
    "generation": 2,
    "pretraining": 2,
    "finetuning": 2,
    "parallel": 2.5,  # divides what the rooms of line 2 make
    "verification": 2.5,  # reads, describes and generates
    "bloom_jax": 2.5,  # generates with generation's options
    "thinc_layers": 3,
    "multilingual_tokenizer": 3,
    "console_logger": 3,
    "pipeline": 4,
    "applying": 4.7,  # reads records as corpora does
    "serving": 4.5,  # shows what the pipeline writes
    "corpora": 4.5,  # writes questions as the pipeline reads them
    "cli": 5,
}
# From which level on a library may be imported; below, and where it says none, it may not.
LIBRARIES = {
    "spacy": 3,
    "thinc": 3,
    "srsly": 3,
    "spacy_transformers": 3,
    "typer": 5,
    "wasabi": 5,
    "transformers": None,
}
# Libraries that belong to one part.
OWNERS = {
    "accelerate": "parallel",
    "jax": "bloom_jax",
    "jaxlib": "bloom_jax",
    "flax": "bloom_jax",
    "optax": "bloom_jax",
}
OWNERS |= {"ray": "applying", "pyarrow": "applying"}
# Those of an extra that the command line must do without: only inside functions of their room.
LATE = {"fastapi": "serving", "starlette": "serving", "uvicorn": "serving", "prometheus_client": "serving"}

FILES = sorted(ROOT.rglob("*.py"))


def part_of(file):
    parts = file.relative_to(ROOT).with_suffix("").parts
    return None if parts == ("__init__",) else parts[0]


def read_imports(tree, file):
    """All imports of a file: (node, whether inside a function, absolute dotted name)."""
    package = ["spacy_bloom", *file.relative_to(ROOT).parent.parts]
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield node, id(node) in inside, name.name
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*start, *([node.module] if node.module else [])])
            for name in node.names:
                yield node, id(node) in inside, f"{module}.{name.name}"


def find_faults(source, file):
    part = part_of(file)
    level = 99 if part is None else LEVELS[part]
    for node, inside, name in read_imports(ast.parse(source), file):
        library, _, rest = name.partition(".")
        where = f"{file.relative_to(ROOT)}:{node.lineno}: {name}"
        if library == "spacy_bloom":
            target = rest.split(".")[0]
            if inside:
                yield f"{where}: our own module inside a function"
            if target not in LEVELS:
                yield f"{where}: not a part of the package"
            elif target != part and not LEVELS[target] < level:
                yield f"{where}: {part} (line {level}) may not import {target} (line {LEVELS[target]})"
        elif library in LIBRARIES and (
            LIBRARIES[library] is None or level < LIBRARIES[library] or part is None
        ):
            yield f"{where}: {library} is not for {part}"
        elif library in OWNERS and part != OWNERS[library]:
            yield f"{where}: {library} is for {OWNERS[library]} only"
        elif library in LATE and not (inside and part == LATE[library]):
            yield f"{where}: {library} is for functions of {LATE[library]} only"
        elif library == "peft" and not (inside and file == ROOT / "bloom" / "peft_files.py"):
            yield f"{where}: peft is for one function of bloom/peft_files.py"
        elif library == "huggingface_hub" and not (inside and file == ROOT / "checkpoint" / "sources.py"):
            yield f"{where}: huggingface_hub is for one function of checkpoint/sources.py"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_go_one_way(file):
    assert part_of(file) is None or part_of(file) in LEVELS, "a new part needs a line in the table"
    assert list(find_faults(file.read_text(encoding="utf8"), file)) == []


@pytest.mark.parametrize("library", ["huggingface_hub", "peft"])
def test_it_is_imported_in_one_function(library):
    functions = set()
    for file in FILES:
        for function in ast.walk(ast.parse(file.read_text(encoding="utf8"))):
            if isinstance(function, ast.FunctionDef):
                names = [name for _, _, name in read_imports(function, file)]
                if any(name.startswith(library) for name in names):
                    functions.add((file.name, function.name))
    assert len(functions) == 1


@pytest.mark.parametrize(
    "place, source",
    [
        ("checkpoint/load.py", "from ..bloom.model import BloomModel"),
        ("bloom/model.py", "from ..tokenizer import BloomTokenizerFast"),
        ("bloom/model.py", "import spacy"),
        ("bloom/model.py", "def f():\n    from .cache import KeyValueCache"),
        ("bloom/model.py", "from .. import generation"),
        ("bloom/model.py", "import spacy_bloom.conversion.convert"),
        ("checkpoint/files.py", "from ..pretraining import loop"),
        ("checkpoint/files.py", "from ..tokenizer import BloomTokenizerFast"),
        ("checkpoint/files.py", "import huggingface_hub"),
        ("bloom/peft_files.py", "import peft"),
        ("finetuning/lora.py", "def f():\n    import peft"),
        ("thinc_layers/weights/shim.py", "def f():\n    import peft"),
        ("checkpoint/sources.py", "import huggingface_hub"),
        ("checkpoint/files.py", "from thinc.api import Model"),
        ("thinc_layers/listener.py", "from transformers import AutoModel"),
        ("thinc_layers/listener.py", "from ..pipeline.transformer import BloomTransformer"),
        ("pipeline/transformer.py", "if True:\n    import jax.numpy as jnp"),
        ("pipeline/transformer.py", "from ..cli import bloom_cli"),
        ("pipeline/transformer.py", "from ..unheard_of import x"),
        ("serving/app.py", "import fastapi"),
        ("cli/serve.py", "def f():\n    import uvicorn"),
        ("serving/app.py", "from ..cli.inputs import load_pipeline"),
        ("errors.py", "from .config import BloomConfig"),
        ("__init__.py", "import spacy"),
    ],
)
def test_the_table_is_enforced(place, source):
    assert len(list(find_faults(source, ROOT / place))) == 1


@pytest.mark.parametrize(
    "place, source",
    [
        ("bloom/model.py", "from ..errors import InputError\nfrom .cache import KeyValueCache\nimport torch"),
        ("checkpoint/sources.py", "def f():\n    from huggingface_hub import snapshot_download"),
        (
            "pipeline/transformer.py",
            "from ..bloom.model import BloomModel\nfrom spacy_transformers.layers import x",
        ),
        ("bloom_jax/model.py", "import jax"),
        ("__init__.py", "from .bloom.model import BloomModel"),
    ],
)
def test_the_table_permits(place, source):
    assert list(find_faults(source, ROOT / place)) == []


CORE_ALONE = """
import importlib.abc, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {absent}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
import torch
torch.nn.Linear(1, 1, device="meta")  # all models begin there, for which torch 2.4 imports sympy by itself
before = set(sys.modules)
from spacy_bloom import BloomForCausalLM, BloomForTokenClassification, BloomModel, BloomTokenizerFast

tokenizer = BloomTokenizerFast.from_pretrained(sys.argv[1])
batch = tokenizer(["The river", "a"], padding=True, return_tensors="pt")
model = BloomForCausalLM.from_pretrained(sys.argv[1])
assert torch.isfinite(model(**batch).logits).all()
ids = batch.input_ids[0]
assert BloomModel.from_pretrained(sys.argv[1]).encode_packed(ids, [len(ids)]).shape[0] == len(ids)
model.save_pretrained(sys.argv[2])
tokenizer.save_pretrained(sys.argv[2])
print(sorted({{name.split(".")[0] for name in sys.modules}} & {absent}))
print(sorted({{"sympy", "huggingface_hub"}} & (set(sys.modules) - before)))
"""


def test_the_core_needs_no_framework(tmp_path, tiny_checkpoint, python_torch):
    absent = {"spacy", "thinc", "transformers", "spacy_transformers", "srsly", "typer", "jax", "peft"}
    code = CORE_ALONE.format(absent=absent)
    result = python_torch.run("-c", code, tiny_checkpoint, tmp_path)
    assert result.returncode == 0, result.stderr
    # Loading is quick: it imports neither a network client nor what torch needs to trace models.
    assert result.stdout.splitlines() == ["[]", "[]"]
