import numpy
import pytest
import srsly
import torch
from safetensors.torch import load_file, save_file

from spacy_bloom.errors import CheckpointError
from spacy_bloom.thinc_layers.weights import saved_model
from spacy_bloom.thinc_layers.weights.settings import WeightSettings
from spacy_bloom.thinc_layers.weights.shim import BloomShim


def test_disk(vectors, shim, checkpoint, tmp_path):
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


def test_bytes(vectors, shim, checkpoint):
    loaded = BloomShim(WeightSettings("no-such-checkpoint")).from_bytes(shim.to_bytes())
    numpy.testing.assert_array_equal(vectors(loaded), vectors(shim))
    assert numpy.abs(vectors(loaded) - vectors(BloomShim(WeightSettings(checkpoint)))).max() > 1e-3
    assert loaded.to_bytes() == shim.to_bytes()


@pytest.mark.parametrize("storage_dtype", ["float16", "bfloat16"])
def test_half_the_size_on_disk_and_in_bytes(vectors, checkpoint, tmp_path, storage_dtype):
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
