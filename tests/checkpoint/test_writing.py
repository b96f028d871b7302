import json
import os
from contextlib import suppress

import pytest
import torch

from spacy_bloom import BloomConfig, BloomForCausalLM
from spacy_bloom.checkpoint import writing
from spacy_bloom.checkpoint.files import WeightFiles
from spacy_bloom.checkpoint.writing import describe, save_weights
from spacy_bloom.errors import CheckpointError, InputError
from spacy_bloom.generation.config import GenerationConfig


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
@pytest.mark.parametrize("max_shard_size", [10**9, 200, 1])
def test_round_trip(tmp_path, dtype, max_shard_size):
    weights = draw(dtype=dtype)
    save_weights(weights, tmp_path / "new" / "folder", max_shard_size=max_shard_size)
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
    save_weights(weights, tmp_path, max_shard_size=80)
    shards = [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]
    assert names(tmp_path) == [*shards, "model.safetensors.index.json"]
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text(encoding="utf8"))
    assert index["metadata"] == {"total_size": 200}
    assert index["weight_map"] == dict(
        zip(weights, [shards[0]] * 2 + [shards[1]] * 2 + [shards[2]], strict=True)
    )


@pytest.mark.parametrize("max_shard_size", [10**9, 200])
def test_equal_weights_are_equal_bytes(tmp_path, max_shard_size):
    for folder in ("one", "other"):
        save_weights(draw(), tmp_path / folder, max_shard_size=max_shard_size)
    save_weights(draw(seed=1), tmp_path / "again", max_shard_size=max_shard_size)
    save_weights(draw(), tmp_path / "again", max_shard_size=max_shard_size)
    assert contents(tmp_path / "one") == contents(tmp_path / "other") == contents(tmp_path / "again")


@pytest.mark.parametrize("before", [10**9, 200, 500])
@pytest.mark.parametrize("after", [10**9, 200, 500])
def test_old_weights_are_removed(tmp_path, before, after):
    save_weights(draw(), tmp_path, max_shard_size=before)
    kept = ["config.json", "model.onnx", "notes.bin", "optimizer.safetensors"]
    old = ["pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "pytorch_model.bin.index.json"]
    old += ["model_00001-of-00072.safetensors", ".model.safetensors.partial"]
    for name in kept + old:
        (tmp_path / name).write_bytes(b"x")
    save_weights(draw(seed=1), tmp_path, max_shard_size=after)
    save_weights(draw(seed=1), tmp_path / "fresh", max_shard_size=after)
    assert names(tmp_path) == sorted([*names(tmp_path / "fresh"), *kept, "fresh"])
    assert same(tmp_path, draw(seed=1))


@pytest.mark.parametrize("before", [10**9, 200])
@pytest.mark.parametrize("after, fails_at", [(10**9, 1), (200, 1), (200, 2)])
def test_a_failure_while_writing_leaves_the_old_checkpoint(tmp_path, monkeypatch, before, after, fails_at):
    save_weights(draw(), tmp_path, max_shard_size=before)
    old = contents(tmp_path)
    calls = []

    def fail(tensors, path, metadata):
        calls.append(path)
        if len(calls) == fails_at:
            path.write_bytes(b"half a fi")
            raise OSError("No space left on device")
        return save_file(tensors, path, metadata=metadata)

    save_file = writing.save_file
    monkeypatch.setattr(writing, "save_file", fail)
    with pytest.raises(OSError, match="No space left"):
        save_weights(draw(seed=1), tmp_path, max_shard_size=after)
    assert len(calls) == fails_at
    assert contents(tmp_path) == old
    assert same(tmp_path, draw())


@pytest.mark.parametrize("before", [10**9, 200])
@pytest.mark.parametrize("after", [10**9, 200])
@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_a_failure_among_the_renames_never_mixes_two_checkpoints(
    tmp_path, monkeypatch, before, after, fails_at
):
    save_weights(draw(), tmp_path, max_shard_size=before)
    calls = []

    def fail(source, target):
        calls.append(target)
        if len(calls) == fails_at:
            raise KeyboardInterrupt
        return replace(source, target)

    replace = os.replace
    monkeypatch.setattr(os, "replace", fail)
    with suppress(KeyboardInterrupt):
        save_weights(draw(seed=1), tmp_path, max_shard_size=after)
    try:
        read = {name: WeightFiles(tmp_path)[name] for name in draw()}
    except CheckpointError as error:
        assert "No weights" in str(error)
        return
    assert any(all(torch.equal(read[n], w) for n, w in draw(seed=seed).items()) for seed in (0, 1))


def test_files_have_the_mode_of_files_that_the_user_makes(tmp_path):
    (tmp_path / "other").touch()
    save_weights({"weight": torch.ones(2)}, tmp_path / "new")
    expected = (tmp_path / "other").stat().st_mode
    assert all(file.stat().st_mode == expected for file in (tmp_path / "new").iterdir())


@pytest.mark.parametrize("size, n_files", [("0.0002MB", 2), ("1kB", 1), (20, 4), ("2GiB", 1)])
def test_the_size_of_a_shard_as_hugging_face_has_it(tmp_path, size, n_files):
    save_weights(draw(), tmp_path, max_shard_size=size)
    assert len(list(tmp_path.glob("*.safetensors"))) == n_files
    assert same(tmp_path, draw())


def test_a_size_that_is_none_leaves_the_directory(tmp_path):
    with pytest.raises(InputError, match=r"'much'"):
        save_weights(draw(), tmp_path / "new", max_shard_size="much")
    assert not (tmp_path / "new").exists()


def test_the_config_says_what_is_in_the_files():
    before = BloomConfig(extra={"architectures": ["BloomModel"], "torch_dtype": "float32", "mine": 1})
    config = describe(before, ["BloomForCausalLM"], torch.bfloat16)
    assert config.extra == {"architectures": ["BloomForCausalLM"], "torch_dtype": "bfloat16", "mine": 1}
    newer = describe(before.replace(extra={"dtype": "float32"}), ["BloomModel"], torch.float16)
    assert newer.extra["dtype"] == newer.extra["torch_dtype"] == "float16"
    assert before.extra["torch_dtype"] == "float32"


@pytest.mark.parametrize("max_shard_size", [10**9, 10_000])
def test_a_language_model_is_saved_over_another(tmp_path, tiny_checkpoint, max_shard_size):
    model = BloomForCausalLM.from_pretrained(tiny_checkpoint)
    model.generation_config = GenerationConfig(max_new_tokens=7)
    for _ in range(2):
        model.save_pretrained(tmp_path, max_shard_size=max_shard_size)
    loaded = BloomForCausalLM.from_pretrained(tmp_path)
    assert torch.equal(loaded.lm_head.weight, model.lm_head.weight)
    assert loaded.generation_config.max_new_tokens == 7
