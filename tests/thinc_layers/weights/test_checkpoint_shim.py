import copy
import pickle
import socket

import numpy
import pytest
import torch
from thinc.api import Adam

from spacy_bloom import BloomModel
from spacy_bloom.checkpoint import sources
from spacy_bloom.errors import CheckpointError, InputError
from spacy_bloom.finetuning.learning import LearningSettings
from spacy_bloom.finetuning.lora import LoraSettings
from spacy_bloom.thinc_layers.weights.settings import WeightSettings
from spacy_bloom.thinc_layers.weights.shim import BloomShim


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x)), BloomShim.copy]
)
@pytest.mark.parametrize("loaded", [True, False])
def test_copies_are_equal_and_apart(vectors, shim, checkpoint, duplicate, loaded):
    shim = shim if loaded else BloomShim(WeightSettings(checkpoint))
    copied = duplicate(shim)
    assert copied.loaded == loaded
    expected = vectors(shim)
    numpy.testing.assert_array_equal(vectors(copied), expected)
    with torch.no_grad():
        copied.module.ln_f.bias.add_(1.0)
    numpy.testing.assert_array_equal(vectors(shim), expected)
    assert (shim.copy().id != shim.id) and (shim.copy().id != shim.copy().id)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_compute_in_half_precision(vectors, checkpoint, dtype):
    half = BloomShim(WeightSettings(checkpoint, dtype=dtype))
    assert half.module.dtype == getattr(torch, dtype)
    found = vectors(half)
    assert found.dtype == numpy.float32
    expected = vectors(BloomShim(WeightSettings(checkpoint)))
    assert 0 < numpy.abs(found - expected).mean() < 0.1 * numpy.abs(expected).mean()


def test_auto_is_the_checkpoints_dtype(checkpoint, tmp_path):
    BloomShim(WeightSettings(checkpoint, storage_dtype="bfloat16")).to_disk(tmp_path / "half")
    assert BloomShim(WeightSettings(str(tmp_path / "half"), dtype="auto")).module.dtype == torch.bfloat16
    assert BloomShim(WeightSettings(checkpoint, dtype="auto")).module.dtype == torch.float32


@pytest.mark.parametrize("dtype", ["int8", "float31", "", "torch.float32"])
def test_unknown_dtypes_are_refused(checkpoint, dtype):
    with pytest.raises(InputError, match="Expected dtype"):
        BloomShim(WeightSettings(checkpoint, dtype=dtype))
    with pytest.raises(InputError, match="Expected dtype"):
        BloomShim(WeightSettings(checkpoint, storage_dtype=dtype))


def test_a_tokenizer_of_another_checkpoint_is_refused(shim, checkpoint, tmp_path):
    """More pieces than embedding rows: ids would be out of range on some texts only."""
    shim.to_disk(tmp_path / "model")
    small = shim.module.config.replace(vocab_size=300)
    BloomModel(small).save_pretrained(tmp_path / "model")
    with pytest.raises(CheckpointError, match="pieces and a model of 300"):
        BloomShim(WeightSettings(checkpoint)).from_disk(tmp_path / "model")


def test_a_relative_path_is_never_a_name_on_the_hub(checkpoint, tmp_path, monkeypatch):
    def fetch(*args, **kwargs):
        raise AssertionError("asked the Hub")

    monkeypatch.setattr(sources, "_fetch", fetch)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="No directory"):
        BloomShim(WeightSettings(checkpoint)).from_disk("component/model")


def test_the_width_of_a_hub_name_is_not_worth_a_network_call(monkeypatch):
    def connect(*args):
        raise AssertionError("made a connection")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "create_connection", connect)
    assert BloomShim(WeightSettings("nobody/has-this-checkpoint")).hidden_size() is None


def test_a_directory_that_is_no_checkpoint_does_not_stop_loading(tmp_path):
    """A saved pipeline has its own weights; what lies under the name of its checkpoint does not matter."""
    assert BloomShim(WeightSettings(str(tmp_path))).hidden_size() is None


WAYS = {
    "load": lambda make, path, data: make(str(path)),
    "disk": lambda make, path, data: make("no-such-checkpoint").from_disk(path),
    "bytes": lambda make, path, data: make("no-such-checkpoint").from_bytes(data),
    "copy": lambda make, path, data: make("no-such-checkpoint").from_disk(path).copy(),
    "deepcopy": lambda make, path, data: copy.deepcopy(make("no-such-checkpoint").from_disk(path)),
}


@pytest.mark.parametrize(
    "learning", [{}, {"mix_layers": True}, {"lora": LoraSettings(r=2)}, {"trainable_layers": 1}]
)
@pytest.mark.parametrize("way", WAYS)
def test_what_was_loaded_in_inference_mode_can_be_trained(checkpoint, tmp_path, way, learning):
    def make(name):
        return BloomShim(WeightSettings(name), learning=LearningSettings(**learning))

    saved, ids = make(checkpoint), (torch.arange(3, 9), [6])
    saved.begin_update(ids)  # puts adapters in
    saved.to_disk(tmp_path)
    data = saved.to_bytes()
    with torch.inference_mode():
        shim = WAYS[way](make, tmp_path, data)
        before = shim.predict(ids).numpy().copy()
    hidden, backprop = shim.begin_update(ids)
    backprop(torch.ones_like(hidden))
    shim.finish_update(Adam(0.01))
    assert numpy.abs(shim.predict(ids).numpy() - before).max() > 1e-4
