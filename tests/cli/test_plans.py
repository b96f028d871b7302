import json

import pytest
from spacy.cli._util import app
from typer.testing import CliRunner

import spacy_bloom.cli  # noqa: F401  (adds its commands to spaCy's)
from spacy_bloom.parallel.plan import plan_tensor_parallel, plan_training
from spacy_bloom.published import GEOMETRIES, published_config


def run(*arguments):
    return CliRunner().invoke(app, ["bloom", "info", *map(str, arguments)])


def test_all_published_sizes_have_plans():
    result = run("--ranks", 8)
    assert result.exit_code == 0
    rows = [line.split()[0] for line in result.output.splitlines() if "FSDP2" in line]
    assert rows == list(GEOMETRIES)
    assert "44.1 GB" in result.output  # an eighth of 176 billion parameters in 16 bits


def test_a_plan_as_json():
    options = ("--ranks", 4, "--dtype", "float32", "--batch", 3, "--length", 64)
    result = run("bloom-560m", *options, "--json")
    report = json.loads(result.output)
    request = {"n_ranks": 4, "dtype": "float32", "batch": 3, "length": 64}
    assert report["request"] == request
    for (way, found), plan in zip(
        report["plans"]["bloom-560m"].items(), (plan_tensor_parallel, plan_training), strict=True
    ):
        assert found["peak"] == plan(published_config("bloom-560m"), **request).peak, way


def test_what_does_not_fit_is_told_beside_the_rest(tiny_checkpoint):
    result = run(tiny_checkpoint, "--ranks", 2)  # of three heads
    assert result.exit_code == 0
    assert "divides the model's 3 heads" in result.output and "train, FSDP2" in result.output


@pytest.mark.parametrize(
    "options, message", [(("--ranks", 0), "--ranks of 1"), (("--ranks", 2, "--dtype", "x"), "'x'")]
)
def test_wrong_requests(options, message):
    result = run("bloom-560m", *options)
    assert result.exit_code == 1
    assert message in result.output + (result.stderr if result.stderr_bytes else "")
