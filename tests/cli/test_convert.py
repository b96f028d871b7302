import re
import shutil

import pytest
import torch
from spacy.cli._util import app
from typer.testing import CliRunner

import spacy_bloom.cli  # noqa: F401  (adds its commands to spaCy's)
from spacy_bloom import BloomForCausalLM, BloomTokenizerFast, bundled_path


def run(*arguments):
    return CliRunner().invoke(app, ["bloom", "convert", *map(str, arguments)])


def words(result):
    """The output without line breaks and colours, which depend on the terminal."""
    return " ".join(result.output.split())


def names(path):
    return sorted(file.name for file in path.iterdir())


def test_help():
    result = CliRunner().invoke(app, ["bloom", "convert", "--help"])
    assert result.exit_code == 0
    for option in ("--dtype", "--max-shard-size", "--num-layers", "--revision", "--force"):
        assert option in result.output


def test_another_dtype_in_shards(tmp_path, tiny_checkpoint):
    result = run(tiny_checkpoint, tmp_path / "new", "--dtype", "bfloat16", "--max-shard-size", "20KB")
    assert result.exit_code == 0, result.output
    n_files = len(list((tmp_path / "new").glob("model-*.safetensors")))
    before, after = re.search(r"([\d.]+) kB of weights before, ([\d.]+) kB now", words(result)).groups()
    assert float(before) == pytest.approx(2 * float(after), rel=0.01)
    assert n_files > 1 and f"(2 blocks, bfloat16, {n_files} files)" in words(result)
    assert str(tmp_path / "new") in result.output.replace("\n", "")
    one = BloomForCausalLM.from_pretrained(tiny_checkpoint)
    other = BloomForCausalLM.from_pretrained(tmp_path / "new", dtype="auto")
    assert other.dtype == torch.bfloat16
    assert torch.equal(other.lm_head.weight, one.lm_head.weight.to(torch.bfloat16))
    assert (tmp_path / "new" / "tokenizer.json").read_bytes() == (
        tiny_checkpoint / "tokenizer.json"
    ).read_bytes()


def test_the_defaults_keep_the_dtype(tmp_path):
    result = run("tiny-bloom", tmp_path / "new", "-n", 2)
    assert result.exit_code == 0, result.output
    assert "(2 blocks, float16, 1 file)" in words(result)
    assert BloomForCausalLM.from_pretrained(tmp_path / "new").config.n_layer == 2


def test_an_output_that_is_not_empty(tmp_path, tiny_checkpoint):
    shutil.copytree(tiny_checkpoint, tmp_path / "new")
    (tmp_path / "new" / "model.safetensors").unlink()
    before = names(tmp_path / "new")
    result = run(tiny_checkpoint, tmp_path / "new")
    assert result.exit_code == 1 and "is not empty" in words(result) and "--force" in words(result)
    assert names(tmp_path / "new") == before
    assert run(tiny_checkpoint, tmp_path / "new", "--force").exit_code == 0
    assert "model.safetensors" in names(tmp_path / "new")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--dtype", "int8"], "got 'int8'"),
        (["--max-shard-size", "big"], "got 'big'"),
        (["--num-layers", "3"], "num_layers to be an integer from 1 to 2"),
    ],
)
def test_options_that_do_not_fit(tmp_path, tiny_checkpoint, arguments, message):
    result = run(tiny_checkpoint, tmp_path / "new", *arguments)
    assert result.exit_code == 1 and message in words(result)
    assert not (tmp_path / "new").exists()


def test_a_source_that_is_none(tmp_path):
    result = run("./nothing", tmp_path / "new")
    assert result.exit_code == 1 and "No directory './nothing'" in words(result)


@pytest.mark.parametrize("shard_size", ["2GB", "20KB"])
def test_int8(tmp_path, tiny_checkpoint, shard_size):
    result = run(tiny_checkpoint, tmp_path / "new", "--quantization", "int8", "-s", shard_size)
    assert result.exit_code == 0, result.output
    assert "(2 blocks, int8," in words(result)
    found = BloomForCausalLM.from_pretrained(tmp_path / "new")
    expected = BloomForCausalLM.from_pretrained(tiny_checkpoint, quantization="int8")
    ids = torch.arange(20)[None]
    with torch.no_grad():
        assert torch.equal(found(ids).logits, expected(ids).logits)
    assert BloomTokenizerFast.from_pretrained(tmp_path / "new").encode("a b") == (
        BloomTokenizerFast.from_pretrained(tiny_checkpoint).encode("a b")
    )


def test_int8_takes_half_of_float16(tmp_path):
    assert run("tiny-bloom", tmp_path / "new", "-q", "int8").exit_code == 0
    size = (tmp_path / "new" / "model.safetensors").stat().st_size
    assert size < 0.52 * (bundled_path("tiny-bloom") / "model.safetensors").stat().st_size
    result = CliRunner().invoke(app, ["bloom", "info", str(tmp_path / "new")])
    assert result.exit_code == 0 and "int8" in result.output


def test_what_is_quantised_is_not_converted_again(tmp_path, tiny_checkpoint):
    run(tiny_checkpoint, tmp_path / "new", "-q", "int8")
    result = run(tmp_path / "new", tmp_path / "newer")
    assert result.exit_code == 1 and "the one that it was made from" in words(result)
    result = run(tiny_checkpoint, tmp_path / "other", "-q", "int5")
    assert result.exit_code == 1 and "got 'int5'" in words(result)
    assert not (tmp_path / "other").exists()
