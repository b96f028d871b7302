import shutil

import compact
import numpy
import pytest
import spacy
import torch
from safetensors.numpy import load_file

from spacy_bloom import BloomForCausalLM, bundled_path


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_rows_are_multiples_of_powers_of_two(dtype):
    matrix = numpy.random.default_rng(0).normal(size=(5, 64)).astype(dtype)
    matrix[3] = 0
    rounded = compact.round_rows(matrix, 127)
    assert rounded.dtype == matrix.dtype and not rounded[3].any()
    largest = numpy.abs(matrix).max(axis=1, keepdims=True).astype("float64")
    step = numpy.exp2(numpy.ceil(numpy.log2(numpy.maximum(largest, 1e-9) / 127)))
    assert (rounded / step == numpy.rint(rounded / step)).all()
    assert (numpy.abs(rounded.astype("float64") - matrix) <= step / 2).all()
    assert (
        compact.round_rows(matrix[0], 127) is matrix[0]
        or (compact.round_rows(matrix[0], 127) == matrix[0]).all()
    )


def test_a_long_array_is_one_row_and_a_bias_stays():
    weights = numpy.random.default_rng(0).normal(size=compact.LONG).astype("f")
    assert (compact.round_rows(weights, 15) == compact.round_rows(weights[None], 15)[0]).all()
    assert len(set(compact.round_rows(weights, 15).tolist())) <= 31
    numpy.testing.assert_array_equal(compact.round_rows(weights[:-1], 15), weights[:-1])


def test_a_checkpoint_gives_nearly_the_same(tiny_checkpoint, tmp_path):
    shutil.copytree(tiny_checkpoint, tmp_path / "copy")
    assert [path.name for path in compact.compact(tmp_path / "copy", 127)] == ["model.safetensors"]
    before, after = (load_file(path / "model.safetensors") for path in (tiny_checkpoint, tmp_path / "copy"))
    assert before.keys() == after.keys() and any((before[name] != after[name]).any() for name in before)
    ids = torch.arange(20)[None]
    one, other = (
        BloomForCausalLM.from_pretrained(path)(ids).logits for path in (tiny_checkpoint, tmp_path / "copy")
    )
    assert 0 < (one - other).abs().max() < 0.05 * one.abs().max()


def test_a_pipeline_loads(tmp_path):
    shutil.copytree(bundled_path("xx_bloom_tiny_qa"), tmp_path / "copy")
    names = {path.name for path in compact.compact(tmp_path / "copy", 127)}
    assert names == {"model.safetensors", "head"}
    nlp = spacy.load(tmp_path / "copy")
    doc = nlp.make_doc("The lighthouse was built in 1874.")
    doc._.questions = ["When was it built?"]
    assert next(nlp.pipe([doc])).spans["answers"].attrs["questions"] == ["When was it built?"]
