"""Reading and writing weights: safetensors, shards with an index, and weights-only `.bin` files."""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import CheckpointError

CONFIG_FILE = "config.json"
SAFETENSORS = "model.safetensors"
SAFETENSORS_INDEX = "model.safetensors.index.json"
BIN = "pytorch_model.bin"
BIN_INDEX = "pytorch_model.bin.index.json"
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,200}")
# Shards bound what is held twice when weights are converted while they are written.
MAX_SHARD_BYTES = 2 * 1024**3


@dataclass(frozen=True)
class Weight:
    """Where a weight is, and what it is, before any of it is read.

    path (Path): The file that holds it.
    shape (tuple[int, ...]): Its shape.
    """

    path: Path
    shape: tuple[int, ...]


class WeightFiles:
    """The weights of a checkpoint directory, mapped into memory and read only when asked for.

    path (Path): Directory with `model.safetensors`, `pytorch_model.bin`, or shards of one and an index.
    RAISES (CheckpointError): No weights, a damaged file, or an index that names a file outside the directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.weights: dict[str, Weight] = {}
        self._bins: dict[Path, dict[str, Tensor]] = {}
        self._opened: dict[Path, Any] = {}  # one map for all weights of a file
        for file in _weight_files(path):
            found = self._open_bin(file) if file.suffix == ".bin" else self._open_safetensors(file)
            again = sorted(set(found) & set(self.weights))
            if again:
                raise CheckpointError(f"{file} holds weights that another shard holds too: {again[:5]}.")
            self.weights.update(found)

    def __getitem__(self, name: str) -> Tensor:
        """RETURNS (Tensor): The weight in the file's dtype, a view of the mapped file."""
        file = self.weights[name].path
        if file in self._bins:
            return self._bins[file][name]
        return self._opened[file].get_tensor(name)

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
            names = opened.keys()
            found = {name: Weight(file, tuple(opened.get_slice(name).get_shape())) for name in names}
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{file} is not a safetensors file: {error}") from None
        self._opened[file] = opened
        return found

    def _open_bin(self, file: Path) -> dict[str, Weight]:
        try:
            state = torch.load(file, map_location="cpu", mmap=True, weights_only=True)
        except Exception as error:  # zip, pickle and torch errors alike
            raise CheckpointError(
                f"{file} is not a weights-only PyTorch file: {_first_line(error)} "
                "Convert it to safetensors where you trust it."
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
        return {name: Weight(file, tuple(value.shape)) for name, value in state.items()}


def _first_line(error: Exception) -> str:
    """RETURNS (str): What an error of a library says, in one line; its name if it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def _is_plain(value: object) -> bool:
    """Whether a value of a `.bin` is a tensor with all of its numbers in the file.

    A few bytes can claim to be a tensor of any size: repeated by strides of 0, sparse, or without data.
    """
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.device.type != "cpu":
        return False
    return not value.is_quantized and value.untyped_storage().nbytes() >= value.numel() * value.itemsize


def _weight_files(path: Path) -> list[Path]:
    for index, suffix in ((SAFETENSORS_INDEX, ".safetensors"), (BIN_INDEX, ".bin")):
        single = path / (SAFETENSORS if suffix == ".safetensors" else BIN)
        if single.is_file():
            return [single]
        if (path / index).is_file():
            return _indexed_files(path / index, suffix)
    raise CheckpointError(
        f"No weights in {path}. Expected one of {SAFETENSORS}, {SAFETENSORS_INDEX}, {BIN}, {BIN_INDEX}."
    )


def _indexed_files(index: Path, suffix: str) -> list[Path]:
    """The shards that an index names. File names in it are input: plain names in the same directory only."""
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf8"))["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError, OSError) as error:
        raise CheckpointError(f"{index} is not an index of weights: {error!r}.") from None
    for name in names:
        if not isinstance(name, str) or not PLAIN_NAME.fullmatch(name) or not name.endswith(suffix):
            raise CheckpointError(
                f"{index} names the file {str(name)[:80]!r}. Expected plain names that end in {suffix!r}."
            )
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing:
        raise CheckpointError(f"{index} names files that are not there: {missing[:5]}.")
    return [index.parent / name for name in names]


def save_weights(
    weights: Mapping[str, Tensor],
    path: Path,
    *,
    dtype: torch.dtype | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> None:
    """Write weights as one safetensors file, or as shards with an index.

    All files are complete before any takes its name: a process killed while it writes leaves the old
    checkpoint. If shards replace shards of the same names, the old index goes first: a process killed among
    the renames leaves no checkpoint rather than a mixed one. Equal weights make equal bytes.

    weights (Mapping[str, Tensor]): By name. Floating point ones are converted if a dtype is given.
    path (Path): Directory, made if it does not exist.
    dtype (torch.dtype | None): Dtype in the files; None keeps each weight's own.
    max_shard_bytes (int): A weight larger than this has a shard of its own.
    """
    path.mkdir(parents=True, exist_ok=True)
    sizes = {name: value.numel() * _stored_dtype(value, dtype).itemsize for name, value in weights.items()}
    shards = _shards(sizes, max_shard_bytes)
    if len(shards) == 1:
        names = [SAFETENSORS]
    else:
        names = [f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors" for i in range(len(shards))]
    with taking_names(path) as take:
        for name, members in zip(names, shards, strict=True):
            converted = {m: _to_store(weights[m], dtype) for m in members}
            save_file(converted, take(name), metadata={"format": "pt"})
            del converted
        if len(shards) > 1:
            weight_map = {m: name for name, members in zip(names, shards, strict=True) for m in members}
            index = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": weight_map}
            take(SAFETENSORS_INDEX).write_text(
                json.dumps(index, indent=2, sort_keys=True) + "\n", encoding="utf8"
            )
    written = {*names, SAFETENSORS_INDEX} if len(shards) > 1 else set(names)
    for old in _old_files(path, written):
        old.unlink()


@contextmanager
def taking_names(path: Path) -> Iterator[Callable[[str], Path]]:
    """Hand out temporary files that take their names, in order, once all of them are written."""
    taken: list[tuple[Path, Path]] = []
    # As the user's umask has them; safetensors makes files that only their owner can read.
    modes: list[int] = []

    def take(name: str) -> Path:
        partial = path / f".{name}.partial"
        partial.touch()
        modes.append(partial.stat().st_mode)
        taken.append((partial, path / name))
        return partial

    try:
        yield take
        if any(final.exists() for _, final in taken[:-1]):
            (path / SAFETENSORS_INDEX).unlink(missing_ok=True)
        for (partial, final), mode in zip(taken, modes, strict=True):
            partial.chmod(mode)
            os.replace(partial, final)
    finally:
        for partial, _ in taken:
            partial.unlink(missing_ok=True)


def _old_files(path: Path, written: set[str]) -> list[Path]:
    """Weights of a checkpoint that was here before: reading would prefer or mix them."""
    names = r"(model|pytorch_model)([-_]\d{5}-of-\d{5})?\.(safetensors|bin)(\.index\.json)?"
    pattern = re.compile(rf"{names}|\.{names}\.partial")  # partial ones are left by a process that was killed
    return [p for p in path.iterdir() if pattern.fullmatch(p.name) and p.name not in written]


def _shards(sizes: Mapping[str, int], max_bytes: int) -> list[list[str]]:
    shards: list[list[str]] = [[]]
    total = 0
    for name, size in sizes.items():
        if shards[-1] and total + size > max_bytes:
            shards.append([])
            total = 0
        shards[-1].append(name)
        total += size
    return shards


def _stored_dtype(value: Tensor, dtype: torch.dtype | None) -> torch.dtype:
    return dtype if dtype is not None and value.is_floating_point() else value.dtype


def _to_store(value: Tensor, dtype: torch.dtype | None) -> Tensor:
    return value.detach().to(device="cpu", dtype=_stored_dtype(value, dtype)).contiguous()
