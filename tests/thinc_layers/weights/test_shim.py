import copy
import pickle
import shutil
import socket

import numpy
import pytest
import srsly
import torch
from safetensors.torch import load_file, save_file
from spacy.tokens import Doc
from spacy.vocab import Vocab
from thinc.api import Adam

from spacy_bloom import BloomModel
from spacy_bloom.checkpoint import sources
from spacy_bloom.errors import CheckpointError, InputError
from spacy_bloom.finetuning.learning import LearningSettings
from spacy_bloom.finetuning.lora import LoraSettings
from spacy_bloom.thinc_layers.pieces.windows import WindowSettings
from spacy_bloom.thinc_layers.transformer_model import bloom_shim, bloom_transformer_model
from spacy_bloom.thinc_layers.weights import saved_model
from spacy_bloom.thinc_layers.weights.settings import WeightSettings
from spacy_bloom.thinc_layers.weights.shim import BloomShim

WINDOWS = WindowSettings(64, 8)
DOCS = [Doc(Vocab(), words=["The", "river", "今天", "café"]), Doc(Vocab(), words=["a"])]


@pytest.fixture
def shim(checkpoint):
    """Loaded, and with other weights than the checkpoint's."""
    shim = BloomShim(WeightSettings(checkpoint))
    with torch.no_grad():
        for parameter in shim.module.parameters():
            parameter.add_(0.01 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return shim


def vectors(shim):
    model = bloom_transformer_model(shim, WINDOWS)
    return numpy.concatenate([d.tensors[0][0] for d in model.predict(DOCS).doc_data])


def test_disk(shim, checkpoint, tmp_path):
    shim.to_disk(tmp_path / "model")
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == [
        "config.json",
        "model.safetensors",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    loaded = BloomShim(WeightSettings(checkpoint)).from_disk(tmp_path / "model")
    numpy.testing.assert_array_equal(vectors(loaded), vectors(shim))
    assert numpy.abs(vectors(loaded) - vectors(BloomShim(WeightSettings(checkpoint)))).max() > 1e-3


def test_weights_too_large_for_the_dtype_in_files(checkpoint, tmp_path):
    """float16 would make them infinite, and every vector NaN."""
    shim = BloomShim(WeightSettings(checkpoint, storage_dtype="float16"))
    with torch.no_grad():
        shim.module.ln_f.weight[3] = 1e5
    for write in (lambda: shim.to_disk(tmp_path / "model"), shim.to_bytes):
        with pytest.raises(CheckpointError, match=r"ln_f.weight holds 1e\+05, too large for float16"):
            write()
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_averages_of_an_optimizer(checkpoint, dtype):
    """Inside `use_params` the weights are those that it says, also the mixture's; outside they are their own."""
    shim = BloomShim(WeightSettings(checkpoint, dtype=dtype), learning=LearningSettings(mix_layers=True))
    model, optimizer = bloom_transformer_model(shim, WINDOWS), Adam(0.1, use_averages=True)
    for _ in range(3):
        output, backprop = model.begin_update(DOCS)
        backprop(output)
        model.finish_update(optimizer)
    own = {name: weight.detach().clone() for name, weight in shim.named_weights()}
    expected = {name: torch.from_numpy(optimizer.averages[shim.id, name]).to(own[name].dtype) for name in own}
    assert any(not torch.equal(own[name], expected[name]) for name in own)
    before, identity = vectors(shim), shim.digest
    with pytest.raises(KeyError), model.use_params(optimizer.averages):
        assert all(torch.equal(weight, expected[name]) for name, weight in shim.named_weights())
        assert numpy.abs(vectors(shim) - before).max() > 1e-3 and shim.digest != identity
        raise KeyError
    assert all(torch.equal(weight, own[name]) for name, weight in shim.named_weights())
    numpy.testing.assert_array_equal(vectors(shim), before)
    assert shim.digest == identity
    with BloomShim(WeightSettings(checkpoint)).use_params(optimizer.averages):
        pass  # nothing is loaded for it


def test_bytes(shim, checkpoint):
    loaded = BloomShim(WeightSettings("no-such-checkpoint")).from_bytes(shim.to_bytes())
    numpy.testing.assert_array_equal(vectors(loaded), vectors(shim))
    assert numpy.abs(vectors(loaded) - vectors(BloomShim(WeightSettings(checkpoint)))).max() > 1e-3
    assert loaded.to_bytes() == shim.to_bytes()


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x)), BloomShim.copy]
)
@pytest.mark.parametrize("loaded", [True, False])
def test_copies_are_equal_and_apart(shim, checkpoint, duplicate, loaded):
    shim = shim if loaded else BloomShim(WeightSettings(checkpoint))
    copied = duplicate(shim)
    assert copied.loaded == loaded
    expected = vectors(shim)
    numpy.testing.assert_array_equal(vectors(copied), expected)
    with torch.no_grad():
        copied.module.ln_f.bias.add_(1.0)
    numpy.testing.assert_array_equal(vectors(shim), expected)
    assert (shim.copy().id != shim.id) and (shim.copy().id != shim.copy().id)


@pytest.mark.parametrize("storage_dtype", ["float16", "bfloat16"])
def test_half_the_size_on_disk_and_in_bytes(checkpoint, tmp_path, storage_dtype):
    whole, half = (
        BloomShim(WeightSettings(checkpoint)),
        BloomShim(WeightSettings(checkpoint, storage_dtype=storage_dtype)),
    )
    whole.to_disk(tmp_path / "whole")
    half.to_disk(tmp_path / "half")
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("whole", "half")]
    assert abs(sizes[1] / sizes[0] - 0.5) < 0.02
    weights = load_file(tmp_path / "half" / "model.safetensors")
    assert {w.dtype for w in weights.values()} == {getattr(torch, storage_dtype)}
    from_disk = BloomShim(WeightSettings(checkpoint)).from_disk(tmp_path / "half")
    from_bytes = BloomShim(WeightSettings(checkpoint)).from_bytes(half.to_bytes())
    assert from_disk.module.dtype == from_bytes.module.dtype == torch.float32
    numpy.testing.assert_array_equal(vectors(from_disk), vectors(from_bytes))
    difference = numpy.abs(vectors(from_disk) - vectors(whole)).max()
    assert 0 < difference < 0.1


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_compute_in_half_precision(checkpoint, dtype):
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


def step(model, optimizer):
    """One update that makes the vectors' squares smaller. RETURNS: their mean before it."""
    output, backprop = model.begin_update(DOCS)
    rows = [[data.tensors[0] * 0.1] for data in output.doc_data]
    backprop(output.unsplit_by_doc(rows))
    model.finish_update(optimizer)
    return float(numpy.mean([(row[0] ** 2).mean() for row in rows]))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_training_in_any_dtype(checkpoint, dtype):
    model = bloom_transformer_model(BloomShim(WeightSettings(checkpoint, dtype=dtype)), WINDOWS)
    model.initialize()
    optimizer = Adam(0.01)
    found = [step(model, optimizer) for _ in range(15)]
    assert found[-1] < 0.7 * found[0]
    assert bloom_shim(model).module.dtype == getattr(torch, dtype)


def test_small_changes_are_not_lost_in_bfloat16(checkpoint):
    """A change of a thousandth rounds to nothing in bfloat16 at 1.0; fifty of them do not."""
    model = bloom_transformer_model(BloomShim(WeightSettings(checkpoint, dtype="bfloat16")), WINDOWS)
    model.initialize()
    weight = bloom_shim(model).module.ln_f.weight
    with torch.no_grad():
        weight.fill_(1.0)
    optimizer = Adam(1e-3, L2=0.0, grad_clip=0.0)
    step(model, optimizer)
    assert torch.equal(weight.data, torch.ones_like(weight))
    for _ in range(49):
        step(model, optimizer)
    assert (weight.data < 0.98).float().mean() > 0.5


def test_training_never_writes_into_the_checkpoint(checkpoint, tmp_path):
    """Weights are mapped from the file; changing them changes the memory of this process only."""
    path = tmp_path / "checkpoint"
    shutil.copytree(checkpoint, path)
    before = (path / "model.safetensors").read_bytes()
    model = bloom_transformer_model(BloomShim(WeightSettings(str(path))), WINDOWS)
    model.initialize()
    start = vectors(bloom_shim(model))
    optimizer = Adam(0.01)
    for _ in range(2):
        step(model, optimizer)
    assert numpy.abs(vectors(bloom_shim(model)) - start).max() > 1e-3
    assert (path / "model.safetensors").read_bytes() == before


def test_finishing_an_update_before_the_weights_are_loaded(checkpoint):
    shim = BloomShim(WeightSettings(checkpoint))
    shim.finish_update(Adam(0.01))
    assert not shim.loaded


def test_bytes_over_the_limit_say_what_to_do(shim, monkeypatch):
    monkeypatch.setattr(saved_model, "MAX_BYTES", 1000)
    with pytest.raises(CheckpointError, match="nlp.to_disk has no limit"):
        shim.to_bytes()


def damage(path, change):
    weights = load_file(path / "model.safetensors")
    change(weights)
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})


DAMAGES = {
    "missing": lambda w: w.pop("ln_f.bias"),
    "unexpected": lambda w: w.update(surprise=torch.zeros(2)),
    "misshapen": lambda w: w.update({"ln_f.bias": torch.zeros(31)}),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_weights_are_named(shim, checkpoint, tmp_path, kind):
    shim.to_disk(tmp_path / "model")
    damage(tmp_path / "model", DAMAGES[kind])
    name = "surprise" if kind == "unexpected" else "ln_f.bias"
    with pytest.raises(CheckpointError, match=f"{kind}: {name}"):
        BloomShim(WeightSettings(checkpoint)).from_disk(tmp_path / "model")
    parts = srsly.msgpack_loads(shim.to_bytes())
    parts["weights"] = (tmp_path / "model" / "model.safetensors").read_bytes()
    with pytest.raises(CheckpointError, match=f"{kind}: {name}"):
        BloomShim(WeightSettings(checkpoint)).from_bytes(srsly.msgpack_dumps(parts))


@pytest.mark.parametrize("size", [0, 7, 200, -10])
def test_cut_off_files_and_bytes_are_refused(shim, checkpoint, tmp_path, size):
    shim.to_disk(tmp_path / "model")
    file = tmp_path / "model" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(CheckpointError):
        BloomShim(WeightSettings(checkpoint)).from_disk(tmp_path / "model")
    with pytest.raises(CheckpointError):
        BloomShim(WeightSettings(checkpoint)).from_bytes(shim.to_bytes()[:size])
    parts = srsly.msgpack_loads(shim.to_bytes())
    parts["weights"] = parts["weights"][:size]
    with pytest.raises(CheckpointError):
        BloomShim(WeightSettings(checkpoint)).from_bytes(srsly.msgpack_dumps(parts))


@pytest.mark.parametrize(
    "foreign", [b"\x80\x04N.", srsly.msgpack_dumps({}), srsly.msgpack_dumps([1, 2]), b""]
)
def test_foreign_bytes_are_refused(checkpoint, foreign):
    """Other objects, and a pickle (of None) among them."""
    shim = BloomShim(WeightSettings(checkpoint))
    with pytest.raises(CheckpointError):
        shim.from_bytes(foreign)
    assert not shim.loaded


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
