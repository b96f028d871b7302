import json
import os
import subprocess
import sys
from contextlib import suppress

import pytest
import torch

from spacy_bloom import BloomConfig, BloomModel
from spacy_bloom.checkpoint import files
from spacy_bloom.checkpoint.files import WeightFiles, save_weights
from spacy_bloom.errors import CheckpointError


def draw(seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    shapes = {"b.weight": (30, 4), "a.weight": (5,), "c.bias": (2, 3, 4), "scalar": (), "empty": (0, 3)}
    return {name: torch.randn(shape, generator=generator).to(dtype) for name, shape in shapes.items()}


def same(path, weights):
    read = WeightFiles(path)
    assert read.shapes == {name: tuple(value.shape) for name, value in weights.items()}
    assert {name: read[name].dtype for name in read.weights} == {n: w.dtype for n, w in weights.items()}
    return all(torch.equal(read[name], value) for name, value in weights.items())


def names(path):
    return sorted(file.name for file in path.iterdir())


def contents(path):
    return {file.name: file.read_bytes() for file in path.iterdir()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("max_shard_bytes", [10**9, 200, 1])
def test_round_trip(tmp_path, dtype, max_shard_bytes):
    weights = draw(dtype=dtype)
    save_weights(weights, tmp_path / "new" / "folder", max_shard_bytes=max_shard_bytes)
    assert same(tmp_path / "new" / "folder", weights)


def test_conversion_leaves_integers(tmp_path):
    weights = {**draw(), "steps": torch.arange(5)}
    save_weights(weights, tmp_path, dtype=torch.bfloat16)
    expected = {n: w.to(torch.bfloat16) if w.is_floating_point() else w for n, w in weights.items()}
    assert same(tmp_path, expected)


def test_tensors_that_are_views(tmp_path):
    base = torch.arange(24.0).view(4, 6)
    weights = {"transposed": base.T, "slice": base[1:3, ::2], "grad": torch.ones(2, requires_grad=True)}
    save_weights(weights, tmp_path)
    assert same(tmp_path, {name: value.detach() for name, value in weights.items()})


def test_shards_and_their_index(tmp_path):
    weights = {f"w{i}": torch.full((10,), float(i)) for i in range(5)}  # 40 bytes each
    save_weights(weights, tmp_path, max_shard_bytes=80)
    shards = [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]
    assert names(tmp_path) == [*shards, "model.safetensors.index.json"]
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text(encoding="utf8"))
    assert index["metadata"] == {"total_size": 200}
    assert index["weight_map"] == dict(
        zip(weights, [shards[0]] * 2 + [shards[1]] * 2 + [shards[2]], strict=True)
    )


@pytest.mark.parametrize("max_shard_bytes", [10**9, 200])
def test_equal_weights_are_equal_bytes(tmp_path, max_shard_bytes):
    for folder in ("one", "other"):
        save_weights(draw(), tmp_path / folder, max_shard_bytes=max_shard_bytes)
    save_weights(draw(seed=1), tmp_path / "again", max_shard_bytes=max_shard_bytes)
    save_weights(draw(), tmp_path / "again", max_shard_bytes=max_shard_bytes)
    assert contents(tmp_path / "one") == contents(tmp_path / "other") == contents(tmp_path / "again")


@pytest.mark.parametrize("before", [10**9, 200, 500])
@pytest.mark.parametrize("after", [10**9, 200, 500])
def test_old_weights_are_removed(tmp_path, before, after):
    save_weights(draw(), tmp_path, max_shard_bytes=before)
    kept = ["config.json", "model.onnx", "notes.bin", "optimizer.safetensors"]
    old = ["pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "pytorch_model.bin.index.json"]
    old += ["model_00001-of-00072.safetensors", ".model.safetensors.partial"]
    for name in kept + old:
        (tmp_path / name).write_bytes(b"x")
    save_weights(draw(seed=1), tmp_path, max_shard_bytes=after)
    save_weights(draw(seed=1), tmp_path / "fresh", max_shard_bytes=after)
    assert names(tmp_path) == sorted([*names(tmp_path / "fresh"), *kept, "fresh"])
    assert same(tmp_path, draw(seed=1))


@pytest.mark.parametrize("before", [10**9, 200])
@pytest.mark.parametrize("after, fails_at", [(10**9, 1), (200, 1), (200, 2)])
def test_a_failure_while_writing_leaves_the_old_checkpoint(tmp_path, monkeypatch, before, after, fails_at):
    save_weights(draw(), tmp_path, max_shard_bytes=before)
    old = contents(tmp_path)
    calls = []

    def fail(tensors, path, metadata):
        calls.append(path)
        if len(calls) == fails_at:
            path.write_bytes(b"half a fi")
            raise OSError("No space left on device")
        return save_file(tensors, path, metadata=metadata)

    save_file = files.save_file
    monkeypatch.setattr(files, "save_file", fail)
    with pytest.raises(OSError, match="No space left"):
        save_weights(draw(seed=1), tmp_path, max_shard_bytes=after)
    assert len(calls) == fails_at
    assert contents(tmp_path) == old
    assert same(tmp_path, draw())


@pytest.mark.parametrize("before", [10**9, 200])
@pytest.mark.parametrize("after", [10**9, 200])
@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_a_failure_among_the_renames_never_mixes_two_checkpoints(
    tmp_path, monkeypatch, before, after, fails_at
):
    save_weights(draw(), tmp_path, max_shard_bytes=before)
    calls = []

    def fail(source, target):
        calls.append(target)
        if len(calls) == fails_at:
            raise KeyboardInterrupt
        return replace(source, target)

    replace = os.replace
    monkeypatch.setattr(os, "replace", fail)
    with suppress(KeyboardInterrupt):
        save_weights(draw(seed=1), tmp_path, max_shard_bytes=after)
    try:
        read = {name: WeightFiles(tmp_path)[name] for name in draw()}
    except CheckpointError as error:
        assert "No weights" in str(error)
        return
    assert any(all(torch.equal(read[n], w) for n, w in draw(seed=seed).items()) for seed in (0, 1))


def test_weights_are_views_of_the_file(tmp_path):
    save_weights({"w": torch.zeros(1000)}, tmp_path)
    value = WeightFiles(tmp_path)["w"]
    before = contents(tmp_path)
    value += 1  # a private copy of the page, never the file
    assert contents(tmp_path) == before
    assert torch.equal(WeightFiles(tmp_path)["w"], torch.zeros(1000))


LOADS = """
import sys
from pathlib import Path
import torch
from spacy_bloom import BloomModel

def resident():
    line = next(x for x in open("/proc/self/status") if x.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024

path = Path(sys.argv[1])
before = resident()
model = BloomModel.from_pretrained(path)
grown = resident() - before
places = [p.data_ptr() for p in model.parameters()]
maps = [line.split() for line in open("/proc/self/maps")]
ranges = [[int(x, 16) for x in m[0].split("-")] for m in maps if m[-1].endswith((".safetensors", ".bin"))]
mapped = all(any(a <= place < b for a, b in ranges) for place in places)
print(grown, mapped, model.word_embeddings.weight[-1, -1].item())
"""


@pytest.mark.skipif(
    not os.path.exists("/proc/self/status"), reason="resident memory is read from Linux's /proc"
)
@pytest.mark.parametrize("layout", ["safetensors", "shards", "bin"])
def test_loading_copies_nothing(tmp_path, layout):
    model = BloomModel(BloomConfig(vocab_size=100_000, hidden_size=256, n_layer=1, n_head=4))
    with torch.no_grad():
        model.word_embeddings.weight[-1, -1] = 7.0
    model.save_pretrained(tmp_path, max_shard_bytes=10**6 if layout == "shards" else 10**9)
    if layout == "bin":
        torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
        (tmp_path / "model.safetensors").unlink()
    size = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert size > 10**8
    result = subprocess.run(
        [sys.executable, "-c", LOADS, str(tmp_path)], capture_output=True, text=True, check=True
    )
    grown, mapped, last = result.stdout.split()
    assert (mapped, float(last)) == ("True", 7.0)
    assert int(grown) < size / 4


def test_loading_needs_some_weights(tmp_path):
    with pytest.raises(CheckpointError, match=r"No weights in .*model.safetensors.*pytorch_model.bin"):
        WeightFiles(tmp_path)


def test_the_single_file_comes_before_shards(tmp_path):
    save_weights(draw(), tmp_path, max_shard_bytes=200)
    save_weights(draw(seed=1), tmp_path / "single")
    (tmp_path / "single" / "model.safetensors").rename(tmp_path / "model.safetensors")
    assert same(tmp_path, draw(seed=1))


def test_shards_that_hold_the_same_weight(tmp_path):
    save_weights(draw(), tmp_path, max_shard_bytes=200)
    shards = sorted(tmp_path.glob("model-*.safetensors"))
    shards[1].write_bytes(shards[0].read_bytes())
    with pytest.raises(CheckpointError, match="another shard"):
        WeightFiles(tmp_path)


def test_where_weights_are_from(tmp_path):
    save_weights(draw(), tmp_path)
    assert str(WeightFiles(tmp_path)) == str(tmp_path)


def test_files_have_the_mode_of_files_that_the_user_makes(tmp_path):
    (tmp_path / "other").touch()
    save_weights({"weight": torch.ones(2)}, tmp_path / "new")
    expected = (tmp_path / "other").stat().st_mode
    assert all(file.stat().st_mode == expected for file in (tmp_path / "new").iterdir())
