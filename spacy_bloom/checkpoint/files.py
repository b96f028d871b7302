"""Names of a checkpoint's files, and its weights: safetensors, shards with an index, and weights-only `.bin` files."""

import math
import pickletools
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import CheckpointError, InputError
from ..files import found_instead, read_json
from ..settings import shown

CONFIG_FILE = "config.json"
GENERATION_FILE = "generation_config.json"
TOKENIZER_FILE = "tokenizer.json"
TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
SPECIAL_TOKENS_FILE = "special_tokens_map.json"
CHAT_TEMPLATE_FILE = "chat_template.jinja"
CHAT_TEMPLATE_FOLDER = "additional_chat_templates"
ADDED_TOKENS_FILE = "added_tokens.json"  # of old checkpoints
# Adapters in peft's files: in a folder of the checkpoint, where pipelines have them, or beside it, where peft looks.
ADAPTER_FOLDER, ADAPTER_CONFIG = "adapter", "adapter_config.json"
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
ADAPTER_ADVICE = (
    "To use all of an adapter, merge it in peft (model.merge_and_unload()) and load the saved result."
)
# The mixture of the layers of a trained transformer.
MIX_FILE = "layer_mix.safetensors"
SAFETENSORS = "model.safetensors"
SAFETENSORS_INDEX = "model.safetensors.index.json"
BIN = "pytorch_model.bin"
BIN_INDEX = "pytorch_model.bin.index.json"
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,200}")

# What the pickle in a `.bin` may name. torch's own list is longer: among others it has `bytearray` and classes of
# tensors, which are made of a number and take as many bytes.
GLOBALS = re.compile(
    r"collections OrderedDict|torch\._utils _rebuild_(tensor|tensor_v2|parameter)|torch\.storage UntypedStorage|"
    r"torch (\w+Storage|Size|[a-z]+[0-9]+)"
)
# Operations that name or make something in other ways; torch.save writes none of them.
CALLS = ("INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "STACK_GLOBAL", "EXT1", "EXT2", "EXT4")
# Dtypes in a safetensors header, as torch calls them.
DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}


class WeightSource(Protocol):
    """Weights by name, whose shapes are known before they are read; str() says where they are from."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]: ...

    def __getitem__(self, name: str) -> Tensor: ...

    def part(self, name: str, slices: tuple[slice, ...]) -> Tensor: ...


class TensorSource(dict[str, Tensor]):
    """Weights that are in memory already."""

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """RETURNS (dict[str, tuple[int, ...]]): Shapes by name."""
        return {name: tuple(value.shape) for name, value in self.items()}

    def part(self, name: str, slices: tuple[slice, ...]) -> Tensor:
        """RETURNS (Tensor): A part of the weight, a view."""
        return self[name][slices]

    def __str__(self) -> str:
        return "the serialised bytes"


@dataclass(frozen=True)
class Weight:
    """A weight that has not been read yet.

    path (Path): The file that holds it.
    shape (tuple[int, ...]): Its shape.
    dtype (str): Torch's name, for example "float32"; the file's own name for dtypes that weights do not have.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: str

    @property
    def numel(self) -> int:
        """RETURNS (int): Number of elements."""
        return math.prod(self.shape)


class WeightFiles:
    """The weights of a checkpoint directory, mapped into memory and read when they are used.

    path (Path): Directory with `model.safetensors`, `pytorch_model.bin`, or shards of one and an index.
    wanted (Callable | None): Given a weight's name, whether to include it; None includes all. Shards without wanted
        weights are not opened.
    files (Sequence[Path] | None): The files to open; None finds them by name.
    variant, safetensors: As for `weight_files`.
    RAISES (CheckpointError): No weights, a damaged file, or an index that names a file outside the directory.
    """

    def __init__(
        self,
        path: Path,
        *,
        wanted: Callable[[str], bool] | None = None,
        files: Sequence[Path] | None = None,
        variant: str | None = None,
        safetensors: bool | None = None,
    ) -> None:
        self.path = path
        self.weights: dict[str, Weight] = {}
        self._bins: dict[Path, dict[str, Tensor]] = {}
        self._opened: dict[Path, Any] = {}  # one map for all weights of a file
        if files is None:
            files = weight_files(path, wanted=wanted, variant=variant, safetensors=safetensors)
        for file in files:
            found = self._open_bin(file) if file.suffix == ".bin" else self._open_safetensors(file)
            found = {name: weight for name, weight in found.items() if wanted is None or wanted(name)}
            again = sorted(set(found) & set(self.weights))
            if again:
                raise CheckpointError(f"{file} repeats weights of another shard: {again[:5]}.")
            self.weights.update(found)

    def __getitem__(self, name: str) -> Tensor:
        """RETURNS (Tensor): The weight in the file's dtype, a view of the mapped file."""
        file = self.weights[name].path
        if file in self._bins:
            return self._bins[file][name]
        return self._opened[file].get_tensor(name)

    def part(self, name: str, slices: tuple[slice, ...]) -> Tensor:
        """RETURNS (Tensor): A part of the weight; the rest of it is not read."""
        file = self.weights[name].path
        if file in self._bins:
            return self._bins[file][name][slices]
        part = self._opened[file].get_slice(name)[slices]
        if part.is_contiguous():
            return part
        # Pages hold what is between the rows' parts too: mapped apart, they leave memory once the part is copied.
        with safe_open(file, framework="pt") as opened:
            return opened.get_slice(name)[slices].contiguous()

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """RETURNS (dict[str, tuple[int, ...]]): Shapes by name."""
        return {name: weight.shape for name, weight in self.weights.items()}

    def __str__(self) -> str:
        return str(self.path)

    def _open_safetensors(self, file: Path) -> dict[str, Weight]:
        """Read the header; the library checks that it adds up to the file's size."""
        try:
            opened = safe_open(file, framework="pt")
            found = {name: _in_header(file, opened.get_slice(name)) for name in opened.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise CheckpointError(
                f"{file} is not a safetensors file: {error}.{found_instead(file)}"
            ) from None
        self._opened[file] = opened
        return found

    def _open_bin(self, file: Path) -> dict[str, Weight]:
        try:
            _check_archive(file)
            state = torch.load(file, map_location="cpu", mmap=True, weights_only=True)
        except Exception as error:  # zip, pickle and torch errors alike
            raise CheckpointError(
                f"{file} is not a weights-only PyTorch file: {_first_line(error)} "
                f"Convert it to safetensors where you trust it.{found_instead(file)}"
            ) from None
        if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
            raise CheckpointError(
                f"Expected {file} to hold names and tensors only, got {type(state).__name__}."
            )
        strange = [name for name, value in state.items() if not _is_plain(value)]
        if strange:
            raise CheckpointError(
                f"Expected {file} to hold plain tensors only. These are not: {strange[:5]}."
            )
        self._bins[file] = dict(state)
        return {
            name: Weight(file, tuple(value.shape), str(value.dtype).removeprefix("torch."))
            for name, value in state.items()
        }


def _check_archive(file: Path) -> None:
    """Check what torch does not before it takes memory.

    RAISES (ValueError): The archive is compressed, so that a small one may become a large one, or its pickle names
        something else than tensors.
    """
    with file.open("rb") as opened:
        if opened.read(4) != b"PK\x03\x04":
            return  # of an old format, which torch refuses to map, or none at all
    with zipfile.ZipFile(file) as archive:
        for record in archive.infolist():
            if record.compress_type != zipfile.ZIP_STORED:
                raise ValueError(
                    f"its record {record.filename[:80]!r} is compressed, as torch.save never does it."
                )
            if record.filename.endswith("data.pkl"):
                _check_pickle(archive.read(record))


def _check_pickle(pickled: bytes) -> None:
    for operation, argument, _ in pickletools.genops(pickled):
        known = (
            GLOBALS.fullmatch(str(argument)) if operation.name == "GLOBAL" else operation.name not in CALLS
        )
        if not known:
            raise ValueError(f"a weights-only pickle does not hold {str(argument)[:80] or operation.name!r}.")


def _in_header(file: Path, part: Any) -> Weight:
    return Weight(file, tuple(part.get_shape()), DTYPES.get(part.get_dtype(), part.get_dtype()))


def _first_line(error: Exception) -> str:
    """RETURNS (str): First line of an error's message; its type if there is no message."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def _is_plain(value: object) -> bool:
    """Whether a value of a `.bin` is a tensor whose elements are all in the file.

    A few bytes can claim to be a tensor of any size: by strides of 0, as a sparse tensor, or without data.
    """
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.device.type != "cpu":
        return False
    return not value.is_quantized and value.untyped_storage().nbytes() >= value.numel() * value.itemsize


def has_weights(path: Path) -> bool:
    """RETURNS (bool): Whether a directory has weights or an index of weights, readable or not."""
    return any((path / name).is_file() for name in (SAFETENSORS, SAFETENSORS_INDEX, BIN, BIN_INDEX))


def variant_name(name: str, variant: str | None) -> str:
    """RETURNS (str): The name of a weights' file in a variant: `model.fp16.safetensors`.
    RAISES (InputError): The variant is no plain name.
    """
    if variant is None:
        return name
    if not isinstance(variant, str) or not PLAIN_NAME.fullmatch(variant):
        raise InputError(f"Expected variant to be a plain name such as 'fp16', got {shown(variant)}.")
    if name.endswith(".index.json"):
        return f"{name.removesuffix('json')}{variant}.json"
    shard = re.search(r"[-_](\d{5}|\*)-of-", name)
    stem, end = (name[: shard.start()], name[shard.start() :]) if shard else name.split(".", 1)
    return f"{stem}.{variant}{end}" if shard else f"{stem}.{variant}.{end}"


def weight_files(
    path: Path,
    *,
    wanted: Callable[[str], bool] | None = None,
    variant: str | None = None,
    safetensors: bool | None = None,
) -> list[Path]:
    """variant (str | None): Of the files' names.
    safetensors (bool | None): True or False for one of the two kinds; None for safetensors where there are both.
    RETURNS (list[Path]): The files of a checkpoint's weights; of an index, those with wanted weights.
    RAISES (CheckpointError): There are none, or an index names files that are missing or outside the directory.
    """
    kinds = [(SAFETENSORS, SAFETENSORS_INDEX, ".safetensors"), (BIN, BIN_INDEX, ".bin")]
    kinds = kinds if safetensors is None else kinds[:1] if safetensors else kinds[1:]
    names = [(variant_name(one, variant), variant_name(index, variant), end) for one, index, end in kinds]
    for single, index, suffix in names:
        if (path / single).is_file():
            return [path / single]
        if (path / index).is_file():
            return _indexed_files(path / index, suffix, wanted)
    expected = ", ".join(name for single, index, _ in names for name in (single, index))
    raise CheckpointError(f"No weights in {path}. Expected one of {expected}.")


def _indexed_files(index: Path, suffix: str, wanted: Callable[[str], bool] | None) -> list[Path]:
    """RETURNS (list[Path]): The shards in an index. Its file names are input: only plain names are followed."""
    try:
        weight_map = read_json(index)["weight_map"]
        names = sorted({file for name, file in weight_map.items() if wanted is None or wanted(name)})
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(f"{index} is not an index of weights: {error!r}.") from None
    for name in names:
        if not isinstance(name, str) or not PLAIN_NAME.fullmatch(name) or not name.endswith(suffix):
            raise CheckpointError(
                f"{index} names the file {str(name)[:80]!r}. Expected plain names that end in {suffix!r}."
            )
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{index} names files that are not there: {missing[:5]}. Copy or download the whole checkpoint."
        )
    return [index.parent / name for name in names]
