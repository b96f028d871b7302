import json
import os
import shutil

import pytest
import torch
from safetensors.torch import save_file

from spacy_bloom import BloomConfig, BloomModel, BloomTokenizerFast
from spacy_bloom.checkpoint.files import WeightFiles, has_weights, weight_files
from spacy_bloom.checkpoint.writing import save_weights
from spacy_bloom.errors import BloomError, CheckpointError


def draw(seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    shapes = {"b.weight": (30, 4), "a.weight": (5,), "c.bias": (2, 3, 4), "scalar": (), "empty": (0, 3)}
    return {name: torch.randn(shape, generator=generator).to(dtype) for name, shape in shapes.items()}


def same(path, weights):
    read = WeightFiles(path)
    assert read.shapes == {name: tuple(value.shape) for name, value in weights.items()}
    assert {name: read[name].dtype for name in read.weights} == {n: w.dtype for n, w in weights.items()}
    return all(torch.equal(read[name], value) for name, value in weights.items())


def contents(path):
    return {file.name: file.read_bytes() for file in path.iterdir()}


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
    # Memory of its own, and what of the files was read; not torch's code, which comes in when it is first used.
    line = next(x for x in open("/proc/self/status") if x.startswith("RssAnon:"))
    total, counted = int(line.split()[1]), False
    for words in map(str.split, open("/proc/self/smaps")):
        if not words[0].endswith(":"):
            counted = words[-1].endswith((".safetensors", ".bin"))
        elif counted and words[0] == "Rss:":
            total += int(words[1])
    return total * 1024

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
def test_loading_copies_nothing(tmp_path, layout, python_torch):
    model = BloomModel(BloomConfig(vocab_size=100_000, hidden_size=256, n_layer=1, n_head=4))
    with torch.no_grad():
        model.word_embeddings.weight[-1, -1] = 7.0
    model.save_pretrained(tmp_path, max_shard_size=10**6 if layout == "shards" else 10**9)
    if layout == "bin":
        torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
        (tmp_path / "model.safetensors").unlink()
    size = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert size > 10**8
    result = python_torch.run("-c", LOADS, tmp_path)
    assert result.returncode == 0, result.stderr
    grown, mapped, last = result.stdout.split()
    assert (mapped, float(last)) == ("True", 7.0)
    assert int(grown) < size / 4


def test_loading_needs_some_weights(tmp_path):
    with pytest.raises(CheckpointError, match=r"No weights in .*model.safetensors.*pytorch_model.bin"):
        WeightFiles(tmp_path)


def test_the_single_file_comes_before_shards(tmp_path):
    save_weights(draw(), tmp_path, max_shard_size=200)
    save_weights(draw(seed=1), tmp_path / "single")
    (tmp_path / "single" / "model.safetensors").rename(tmp_path / "model.safetensors")
    assert same(tmp_path, draw(seed=1))


def test_shards_that_hold_the_same_weight(tmp_path):
    save_weights(draw(), tmp_path, max_shard_size=200)
    shards = sorted(tmp_path.glob("model-*.safetensors"))
    shards[1].write_bytes(shards[0].read_bytes())
    with pytest.raises(CheckpointError, match="another shard"):
        WeightFiles(tmp_path)


def test_where_weights_are_from(tmp_path):
    save_weights(draw(), tmp_path)
    assert str(WeightFiles(tmp_path)) == str(tmp_path)


@pytest.mark.parametrize("layout", ["safetensors", "shards", "bin"])
def test_shapes_and_dtypes_are_known_before_reading(tmp_path, layout):
    weights = {
        "a": torch.zeros(2, 3, dtype=torch.bfloat16),
        "b": torch.zeros(4, dtype=torch.float16),
        "c": torch.zeros((), dtype=torch.float64),
        "d": torch.zeros(1),
    }
    save_weights(weights, tmp_path, max_shard_size=1 if layout == "shards" else 10**9)
    if layout == "bin":
        (tmp_path / "model.safetensors").unlink()
        torch.save(weights, tmp_path / "pytorch_model.bin")
    found = WeightFiles(tmp_path).weights
    assert {name: weight.dtype for name, weight in found.items()} == {
        "a": "bfloat16",
        "b": "float16",
        "c": "float64",
        "d": "float32",
    }
    assert [found[name].numel for name in "abcd"] == [6, 4, 1, 1]


def test_other_dtypes_keep_their_names(tmp_path):
    save_file({"a": torch.zeros(2, dtype=torch.int64)}, tmp_path / "model.safetensors")
    assert WeightFiles(tmp_path).weights["a"].dtype == "I64"


@pytest.mark.parametrize("max_shard_size", [1, 10**9])
def test_weights_that_are_not_wanted_are_not_there(tmp_path, max_shard_size):
    save_weights(draw(), tmp_path, max_shard_size=max_shard_size)
    wanted = {"a.weight", "scalar"}
    files = WeightFiles(tmp_path, wanted=wanted.__contains__)
    assert set(files.shapes) == wanted
    assert all(torch.equal(files[name], draw()[name]) for name in wanted)
    with pytest.raises(KeyError):
        files["b.weight"]


def test_shards_without_wanted_weights_are_not_opened(tmp_path):
    save_weights(draw(), tmp_path, max_shard_size=1)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text(encoding="utf8"))
    for name, file in index["weight_map"].items():
        if name not in ("a.weight", "b.weight"):
            (tmp_path / file).unlink()
    files = WeightFiles(tmp_path, wanted=lambda name: name in ("a.weight", "b.weight"))
    assert torch.equal(files["a.weight"], draw()["a.weight"])
    assert {weight.path for weight in files.weights.values()} == set(tmp_path.glob("model-*.safetensors"))
    with pytest.raises(CheckpointError, match="not there"):
        weight_files(tmp_path)


def test_whether_there_are_weights(tmp_path):
    assert not has_weights(tmp_path)
    (tmp_path / "config.json").write_text("{}", encoding="utf8")
    assert not has_weights(tmp_path)
    (tmp_path / "pytorch_model.bin.index.json").write_text("damaged", encoding="utf8")
    assert has_weights(tmp_path)


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
PARTS = (
    "model.safetensors",
    "pytorch_model.bin",
    "model.safetensors.index.json",
    "config.json",
    "tokenizer.json",
)


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize(
    "content, told", [(POINTER, "git lfs pull"), ("", "is empty"), ("<html>", "is a web page")]
)
def test_pointers_in_place_of_files_are_named(tmp_path, tiny_checkpoint, name, content, told):
    shutil.copytree(tiny_checkpoint, tmp_path / "copy")
    if name in PARTS[1:3]:
        (tmp_path / "copy" / "model.safetensors").unlink()
    (tmp_path / "copy" / name).write_text(content)
    load = BloomTokenizerFast if name == "tokenizer.json" else BloomModel
    with pytest.raises(BloomError, match=f"(?s){name}.*{told}"):
        load.from_pretrained(tmp_path / "copy")
