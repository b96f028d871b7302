"""A tiny checkpoint, and mutations of the files of weights in it."""

import io
import json
import os
import pickle
import struct
import subprocess
import zipfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

import numpy
import torch
from safetensors.torch import load_file, save_file

from spacy_bloom import BloomConfig, BloomForCausalLM, BloomModel, BloomTokenizerFast
from spacy_bloom.checkpoint.directory import Checkpoint
from spacy_bloom.checkpoint.files import WeightFiles
from spacy_bloom.finetuning.lora import LoraSettings, add_lora
from spacy_bloom.pretraining.tokenizer_training import TokenizerConfig, train_tokenizer
from spacy_bloom.thinc_layers.pieces.reused_vectors import ReusedVectors, ReuseSettings, _key
from spacy_bloom.thinc_layers.weights.adapter_files import set_adapter, write_adapter
from spacy_bloom.thinc_layers.weights.layer_mix import LayerMix

from .mutate import NUMBERS, TEXTS, dump, mutate_bytes, mutate_json, mutate_value, several

SENTENCES = (
    "The river was high in spring.",
    "def add(a, b): return a + b",
    "今天天气很好。",
    "القطار يصل إلى المحطة",
    "यह किताब बहुत अच्छी है।",
)
SAFETENSORS, BIN, INDEX = "model.safetensors", "pytorch_model.bin", "model.safetensors.index.json"
PIECES = torch.tensor([[5, 9, 11]])


@lru_cache(maxsize=1)
def tokenizer() -> BloomTokenizerFast:
    """RETURNS (BloomTokenizerFast): A tiny one."""
    made = train_tokenizer([SENTENCES], TokenizerConfig(vocab_size=300, min_frequency=1), seed=0)
    return BloomTokenizerFast(tokenizer_object=made, padding_side="left")


def write_checkpoint(folder: Path, **config: Any) -> BloomForCausalLM:
    """RETURNS (BloomForCausalLM): A tiny random model, written to a folder with its tokenizer."""
    torch.manual_seed(0)
    geometry = {
        "vocab_size": len(tokenizer()) + 4,
        "hidden_size": 8,
        "n_layer": 1,
        "n_head": 2,
        "pad_token_id": 3,
    }
    model = BloomForCausalLM(BloomConfig(**{**geometry, **config}))
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return model


def header_of(data: bytes) -> tuple[dict[str, Any], bytes]:
    """RETURNS (tuple[dict, bytes]): The header of a safetensors file, and its data."""
    (size,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def with_header(header: bytes, data: bytes) -> bytes:
    """RETURNS (bytes): A safetensors file."""
    return struct.pack("<Q", len(header)) + header + data


def mutate_safetensors(random: Random, good: bytes) -> bytes:
    """RETURNS (bytes): With other offsets, shapes, dtypes, names or bytes."""
    if random.random() < 0.25:  # mostly of the header, as changed data is no fault
        size = struct.unpack("<Q", good[:8])[0] + 8
        cut = random.choice((8, size, size, len(good)))
        return mutate_bytes(random, good[:cut], several(random)) + good[cut:]
    header, data = header_of(good)
    for _ in range(several(random)):
        name = random.choice([name for name in header if isinstance(header[name], dict)] or [""])
        part = header.get(name) if isinstance(header.get(name), dict) else {}
        other = random.choice(list(header) or [""])
        change = random.randrange(9)
        if change == 0 and "data_offsets" in part:
            header[name]["data_offsets"] = [
                random.choice(NUMBERS) for _ in range(random.choice((1, 2, 2, 2, 3)))
            ]
        elif change == 1 and "data_offsets" in part:  # overlaps and holes
            offsets = part["data_offsets"] if isinstance(part["data_offsets"], list) else []
            move = random.choice((-4, -1, 1, 4, 1000))
            header[name]["data_offsets"] = [
                offset + move if isinstance(offset, int) else offset for offset in offsets
            ]
        elif change == 2 and "shape" in part:
            header[name]["shape"] = [random.choice(NUMBERS) for _ in range(random.randrange(5))]
        elif change == 3 and "dtype" in part:
            dtypes = ("F64", "F16", "BF16", "I64", "BOOL", "U8", "F8_E4M3", "F4", "C64", *TEXTS)
            header[name]["dtype"] = random.choice(dtypes)
        elif change == 4 and name in header:
            header[random.choice(TEXTS)] = header.pop(name)
        elif change == 5:
            header[name] = header.get(other)
        elif change == 6:
            header["__metadata__"] = random.choice(
                ({"format": "np"}, {"format": 5}, [], {"a": "b" * 10000}, None)
            )
        elif change == 7 and name in header:
            header[f"{name}.more"] = {
                "dtype": "F32",
                "shape": [0, 2**40],
                "data_offsets": [len(data), len(data)],
            }
        else:
            header = mutate_value(random, header)
            header = header if isinstance(header, dict) else {"x": header}
    if random.random() < 0.1:
        data = random.choice((b"", data[:-1], data + b"\x00", data * 2))
    encoded = dump(random, header)
    return with_header(encoded + b" " * random.choice((0, 0, 0, 7)), data)


def expect_consistent(file: Path, weights: WeightFiles) -> None:
    """RAISES (AssertionError): A file that was accepted has a header that a plain reading of the format refuses."""
    header, data = header_of(file.read_bytes())
    header.pop("__metadata__", None)
    # The library takes the fields in a list as well.
    fields = ("dtype", "shape", "data_offsets")
    header = {n: dict(zip(fields, p, strict=False)) if isinstance(p, list) else p for n, p in header.items()}
    spans = sorted(part["data_offsets"] for part in header.values())
    ends = [0, *(end for _, end in spans)]
    assert [start for start, _ in spans] == ends[:-1] and ends[-1] == len(data), (
        "offsets have holes or overlaps"
    )
    assert {name: tuple(part["shape"]) for name, part in header.items()} == weights.shapes, "other shapes"


class Safetensors:
    """`model.safetensors`, read weight by weight."""

    name, weight = "safetensors: header and data", 26.0

    def prepare(self, folder: Path) -> None:
        write_checkpoint(folder)
        self._good = (folder / SAFETENSORS).read_bytes()

    def write(self, folder: Path, random: Random) -> None:
        (folder / SAFETENSORS).write_bytes(mutate_safetensors(random, self._good))

    def read(self, folder: Path) -> None:
        weights = WeightFiles(folder)
        for name, shape in weights.shapes.items():
            value = weights[name]
            assert tuple(value.shape) == shape, "a weight of another shape"
        expect_consistent(folder / SAFETENSORS, weights)


class Whole(Safetensors):
    """`model.safetensors`, as a model that predicts."""

    name, weight = "safetensors: from_pretrained", 8.0

    def read(self, folder: Path) -> None:
        model = BloomForCausalLM.from_pretrained(folder)
        assert model(PIECES).logits.shape == (1, 3, model.config.vocab_size)


class Integers(Whole):
    """`model.safetensors` and `config.json` of a model in int8."""

    name, weight = "int8 checkpoint", 2.0

    def prepare(self, folder: Path) -> None:
        write_checkpoint(folder)
        BloomForCausalLM.from_pretrained(folder, quantization="int8").save_pretrained(folder)
        self._good, self._config = ((folder / name).read_bytes() for name in (SAFETENSORS, "config.json"))

    def write(self, folder: Path, random: Random) -> None:
        both = random.random() < 0.5
        (folder / SAFETENSORS).write_bytes(mutate_safetensors(random, self._good) if both else self._good)
        (folder / "config.json").write_bytes(self._config if both else mutate_json(random, self._config))


class Shards:
    """An index and its shards."""

    name, weight = "index of shards", 6.0

    def prepare(self, folder: Path) -> None:
        write_checkpoint(folder).save_pretrained(folder, max_shard_size=4000)
        self._good = (folder / INDEX).read_bytes()

    def write(self, folder: Path, random: Random) -> None:
        if random.random() < 0.4:
            (folder / INDEX).write_bytes(mutate_json(random, self._good, ("weight_map", "metadata")))
            return
        index = json.loads(self._good)
        files = sorted(set(index["weight_map"].values()))
        for name in random.sample(sorted(index["weight_map"]), several(random)):
            strange = (
                "../canary",
                "../canary.safetensors",
                "config.json",
                "model.safetensors.index.json",
                ".",
                "..",
            )
            index["weight_map"][name] = random.choice((*files, *strange, *TEXTS, 5, None, [files[0]]))
        (folder / INDEX).write_bytes(dump(random, index))

    def read(self, folder: Path) -> None:
        model = BloomForCausalLM.from_pretrained(folder)
        assert model(PIECES).logits.shape == (1, 3, model.config.vocab_size)


class _Runs:
    """Something whose pickle runs a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.called = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple]:
        return self.called


class Bins:
    """`pytorch_model.bin`: pickles that call functions, damaged archives, archives that unpack to more."""

    name, weight = ".bin archive", 10.0

    def prepare(self, folder: Path) -> None:
        write_checkpoint(folder)
        weights = load_file(folder / SAFETENSORS)
        (folder / SAFETENSORS).unlink()
        whole, old = io.BytesIO(), io.BytesIO()
        torch.save(weights, whole)
        torch.save(weights, old, _use_new_zipfile_serialization=False)
        self._good = (whole.getvalue(), old.getvalue())
        with zipfile.ZipFile(whole) as archive:
            self._records = {name: archive.read(name) for name in archive.namelist()}
        self._marker = str(folder.parent / "marker")
        (folder / BIN).write_bytes(self._good[0])

    def write(self, folder: Path, random: Random) -> None:
        (folder / BIN).write_bytes(self._mutated(random))

    def _mutated(self, random: Random) -> bytes:
        change = random.randrange(10)
        if change <= 1:
            return mutate_bytes(random, self._good[0], several(random))
        if change == 2:
            return mutate_bytes(random, self._good[1], several(random))
        records = dict(self._records)
        inside = next(name for name in records if name.endswith("data.pkl"))
        if change <= 5:
            records[inside] = mutate_bytes(random, records[inside], several(random))
        elif change == 6:
            records[inside] = self._pickle(random)
        elif change == 7:
            return self._pickle(random)
        else:
            name = random.choice(sorted(records))
            bomb = bytes(3 * 10**8 if random.random() < 0.02 else 10**5)
            content = random.choice((b"", records[name][:3], records[name] * 3, bomb))
            others = ("archive/../../canary", "/canary", "archive/data/0", "x" * 300)
            records[random.choice((name, name, *others))] = content
        packed = io.BytesIO()
        kind = random.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
        if sum(map(len, records.values())) > 10**6:
            kind = zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(packed, "w", kind) as archive:
            for name, content in records.items():
                archive.writestr(name, content)
        result = packed.getvalue()
        return mutate_bytes(random, result) if random.random() < 0.1 else result

    def _pickle(self, random: Random) -> bytes:
        call = random.choice(
            (
                _Runs(os.system, f"touch {self._marker}"),
                _Runs(os.mkdir, self._marker),
                _Runs(eval, "__import__('os').mkdir('x')"),
                _Runs(exec, f"open({self._marker!r}, 'w')"),
                _Runs(subprocess.Popen, ["touch", self._marker]),
                _Runs(bytearray, random.choice((2**31, 2**40, 2**62))),
                _Runs(torch.zeros, (2**20, 2**16)),
                _Runs(torch.load, self._marker),
                _Runs(torch.hub.load, "x/y", "z"),
                _Runs(open, self._marker, "w"),
            )
        )
        value = random.choice((call, {"word_embeddings.weight": call}, [call], {"": 1, "a": (call,)}))
        return pickle.dumps(value, protocol=random.choice((0, 1, 2, 4)))

    def read(self, folder: Path) -> None:
        model = BloomForCausalLM.from_pretrained(folder)
        assert model(PIECES).logits.shape == (1, 3, model.config.vocab_size)
        assert not Path(self._marker).exists(), "code was run"


class Adapters:
    """A folder of adapters, put into a transformer's model and loaded by `load_adapter`."""

    name, weight = "adapter folder", 5.0

    def prepare(self, folder: Path) -> None:
        self._model = write_checkpoint(folder).transformer
        settings = LoraSettings(r=2)
        add_lora(self._model, settings)
        write_adapter(self._model, settings, folder)
        self._config, self._good = ((folder / "adapter" / name).read_bytes() for name in (
            "adapter_config.json", "adapter_model.safetensors"))  # fmt: skip

    def write(self, folder: Path, random: Random) -> None:
        config, good = self._config, self._good
        if random.random() < 0.6:
            names = ("use_dora", "alpha_pattern", "rank_pattern", "modules_to_save", "use_rslora", "bias", "peft_type",
                     "auto_mapping", "layers_to_transform", "revision", "target_modules")  # fmt: skip
            config = mutate_json(random, config, names)
        else:
            good = mutate_safetensors(random, good)
        (folder / "adapter" / "adapter_config.json").write_bytes(config)
        (folder / "adapter" / "adapter_model.safetensors").write_bytes(good)

    def read(self, folder: Path) -> None:
        model = BloomModel.from_pretrained(folder)
        adapter = Checkpoint(folder).adapter
        assert adapter is not None
        set_adapter(model, *adapter)
        assert model(PIECES).last_hidden_state.shape == (1, 3, 8)


class Mixtures:
    """`layer_mix.safetensors`."""

    name, weight = "layer_mix.safetensors", 8.0

    def prepare(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._good = LayerMix(1).to_bytes()
        (folder / "layer_mix.safetensors").write_bytes(self._good)

    def write(self, folder: Path, random: Random) -> None:
        (folder / "layer_mix.safetensors").write_bytes(mutate_safetensors(random, self._good))

    def read(self, folder: Path) -> None:
        mix = LayerMix(1)
        mix.from_bytes(Checkpoint(folder).layer_mix, "the folder")
        assert mix([torch.ones(3, 8), torch.ones(3, 8)]).shape == (3, 8)


class Vectors:
    """Reused vectors on disk: a bad file is passed over, and vectors of another shape are computed again."""

    name, weight = "reused vectors", 8.0

    def prepare(self, folder: Path) -> None:
        self._ids = numpy.arange(5)
        (folder / "weights").mkdir(parents=True, exist_ok=True)
        self._file = folder / "weights" / "vectors-1.safetensors"
        save_file({_key(self._ids): torch.ones(5, 8), "other": torch.ones(2)}, self._file)
        self._good = self._file.read_bytes()

    def write(self, folder: Path, random: Random) -> None:
        self._file.write_bytes(mutate_safetensors(random, self._good))

    def read(self, folder: Path) -> None:
        vectors = ReusedVectors(ReuseSettings(path=str(folder)))
        vectors.use("weights")
        found = vectors.get(self._ids, 8)
        assert found is None or (found.shape, str(found.dtype)) == ((5, 8), "float32")


KINDS = (Safetensors, Whole, Integers, Shards, Bins, Adapters, Mixtures, Vectors)
