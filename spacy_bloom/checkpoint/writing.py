"""Writing weights as safetensors: a directory never has half a checkpoint, or a mixture of two."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from ..config import BloomConfig
from ..errors import CheckpointError
from ..files import replacing_together, to_json, write_text
from .files import SAFETENSORS, SAFETENSORS_INDEX, variant_name
from .names import is_fixed
from .sizes import parse_size

# Weights that are converted are held twice, one shard at a time.
MAX_SHARD_SIZE = "2GB"


def save_weights(
    weights: Mapping[str, Tensor],
    path: Path,
    *,
    dtype: torch.dtype | None = None,
    max_shard_size: int | str = MAX_SHARD_SIZE,
    variant: str | None = None,
) -> None:
    """Write weights as one safetensors file, or as shards with an index.

    All files are complete before any takes its name: a process killed while writing leaves the old checkpoint. If new
    shards replace old ones, the old index is removed first: a process killed between the renames leaves no checkpoint
    rather than a mixed one. Equal weights give equal bytes.

    weights (Mapping[str, Tensor]): Weights by name. Those in floating point, other than scales of
        integers, are converted if a dtype is given.
    path (Path): Directory, created if it does not exist.
    dtype (torch.dtype | None): Dtype in the files; None keeps each weight's own.
    max_shard_size (int | str): Bytes, or text such as "2GB". A larger weight gets a shard of its own.
    variant (str | None): Of the files' names; files of other variants stay.
    RAISES (CheckpointError): A weight is too large for the dtype.
    """
    max_bytes = parse_size(max_shard_size)
    path.mkdir(parents=True, exist_ok=True)
    sizes = {
        name: value.numel() * _stored_dtype(name, value, dtype).itemsize for name, value in weights.items()
    }

    def read(names: Sequence[str]) -> dict[str, Tensor]:
        return {name: to_store(name, weights[name], dtype) for name in names}

    with replacing_together(path, before=partial(remove_index, variant=variant)) as create:
        written = write_shards(sizes, read, create, max_bytes, variant)
    remove_old_weights(path, written, variant)


def describe(config: BloomConfig, architectures: Sequence[str], dtype: torch.dtype) -> BloomConfig:
    """RETURNS (BloomConfig): The config with the classes and the dtype of a checkpoint's weights."""
    name = str(dtype).removeprefix("torch.")
    newer = {"dtype": name} if "dtype" in config.extra else {}  # the spelling of transformers 5
    extra = {**config.extra, **newer, "architectures": list(architectures), "torch_dtype": name}
    return config.replace(extra=extra)


def write_shards(
    sizes: Mapping[str, int],
    read: Callable[[Sequence[str]], dict[str, Tensor]],
    create: Callable[[str], Path],
    max_bytes: int,
    variant: str | None = None,
) -> list[str]:
    """Write one safetensors file, or shards and their index, with one shard in memory at a time.

    sizes (Mapping[str, int]): Bytes of each weight, in the order in which they are written.
    read (Callable): Given the names of one shard's weights, returns them as they are stored.
    create (Callable): Given a file's name, returns the path to write to (see `replacing_together`).
    max_bytes (int): Size of a shard with more than one weight.
    RETURNS (list[str]): File names.
    """
    shards = _shards(sizes, max_bytes)
    names = [f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors" for i in range(len(shards))]
    names = [variant_name(name, variant) for name in ([SAFETENSORS] if len(shards) == 1 else names)]
    index_name = variant_name(SAFETENSORS_INDEX, variant)
    for name, members in zip(names, shards, strict=True):
        save_file(read(members), create(name), metadata={"format": "pt"})
    if len(shards) == 1:
        return names
    weight_map = {m: name for name, members in zip(names, shards, strict=True) for m in members}
    index = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": weight_map}
    write_text(create(index_name), to_json(index))
    return [*names, index_name]


def remove_index(shards: Sequence[Path], variant: str | None = None) -> None:
    """Remove an index whose shards are about to be replaced.

    shards (Sequence[Path]): The files about to take their names; the last is the new index, or the only file.
    """
    if any(shard.exists() for shard in shards[:-1]):
        (shards[0].parent / variant_name(SAFETENSORS_INDEX, variant)).unlink(missing_ok=True)


def remove_old_weights(path: Path, written: Sequence[str], variant: str | None = None) -> None:
    """Remove the weights of an earlier checkpoint, which reading would prefer or mix in.

    path (Path): The directory.
    written (Sequence[str]): Names of the files to keep.
    variant (str | None): Of the names of those to remove.
    """
    of_variant = "" if variant is None else rf"\.{re.escape(variant)}"
    one = rf"(model|pytorch_model){of_variant}([-_]\d{{5}}-of-\d{{5}})?\.(safetensors|bin)"
    names = rf"({one}|(model\.safetensors|pytorch_model\.bin)\.index{of_variant}\.json)"
    pattern = re.compile(rf"{names}|\.{names}\.partial")  # partial files are left by a killed process
    for file in path.iterdir():
        if pattern.fullmatch(file.name) and file.name not in written:
            file.unlink()


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


def _stored_dtype(name: str, value: Tensor, dtype: torch.dtype | None) -> torch.dtype:
    if dtype is None or is_fixed(name) or not value.is_floating_point():
        return value.dtype
    return dtype


def to_store(name: str, value: Tensor, dtype: torch.dtype | None) -> Tensor:
    """RETURNS (Tensor): A weight in the dtype in which it is written, on the CPU.
    RAISES (CheckpointError): It is too large for the dtype.
    """
    if hasattr(value, "full_tensor"):  # divided among processes, all of which come to this weight now
        value = value.full_tensor()
    stored = _stored_dtype(name, value, dtype)
    check_range(name, value.detach(), stored)
    return value.detach().to(device="cpu", dtype=stored).contiguous()


def check_range(name: str, value: Tensor, dtype: torch.dtype) -> None:
    """RAISES (CheckpointError): A weight has a value that would become infinite in this dtype."""
    if value.numel() and value.is_floating_point() and torch.finfo(dtype).max < torch.finfo(value.dtype).max:
        largest = max(abs(end.item()) for end in value.aminmax())  # NaN and infinity stay as they are
        if torch.finfo(dtype).max < largest < float("inf"):
            raise CheckpointError(
                f"The weight {name} holds {largest:.3g}, too large for {str(dtype).removeprefix('torch.')}. "
                "Write bfloat16 or float32 (in a pipeline's config: storage_dtype)."
            )
