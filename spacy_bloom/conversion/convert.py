"""Copying a checkpoint to safetensors in another dtype or with fewer blocks, one shard in memory at a time."""

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from ..checkpoint.files import ADAPTER_CONFIG, ADAPTER_FOLDER, CONFIG_FILE, MIX_FILE, WeightFiles
from ..checkpoint.load import READABLE, check_tied_head, first_blocks, match_weights, one_dtype
from ..checkpoint.names import EMBEDDING, TIED_HEAD, decoder_shapes, head_class
from ..checkpoint.quantized import quantization_method
from ..checkpoint.sizes import format_size, parse_size
from ..checkpoint.sources import BIN_FILES, SAFETENSORS_FILES, SMALL_FILES
from ..checkpoint.writing import (
    MAX_SHARD_SIZE,
    check_range,
    describe,
    remove_index,
    remove_old_weights,
    write_shards,
)
from ..config import BloomConfig
from ..errors import CheckpointError, InputError
from ..files import partial_path, replacing, replacing_folder, replacing_together, write_text, writing_alone

# The config is written anew; the files of tokenizer and generation are copied.
COPIED = [name for name in SMALL_FILES if name != CONFIG_FILE]
# What a trained pipeline has beside its weights: adapters, and the mixture of layers.
BESIDE = (ADAPTER_FOLDER, ADAPTER_CONFIG, MIX_FILE)
# Left by a process that was killed while writing.
PARTIAL = re.compile(r"\..+\.partial")


@dataclass(frozen=True)
class Plan:
    """What a conversion reads and writes; made without reading any weight.

    source (Path): Directory of the checkpoint.
    config (BloomConfig): Config of the result.
    dtype (torch.dtype): Dtype of the result.
    sizes (Mapping[str, int]): Bytes of each weight in the result, by its name in the source.
    n_bytes (int): Bytes of the same weights in the source.
    rows (Mapping[str, Tensor]): For weights of which a part is kept, the rows to keep, in their new order. Each of
        shape (kept,).
    contents (Mapping[str, str]): Small files that are written anew instead of copied.
    weights (Mapping[str, Tensor] | None): Weights of the result by its own names, if they are not the source's.
    """

    source: Path
    config: BloomConfig
    dtype: torch.dtype
    sizes: Mapping[str, int]
    n_bytes: int
    rows: Mapping[str, Tensor] = field(default_factory=dict)
    contents: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[str, Tensor] | None = None

    @property
    def new_n_bytes(self) -> int:
        """RETURNS (int): Bytes of the weights in the result."""
        return sum(self.sizes.values())


def plan_conversion(source: Path, *, dtype: torch.dtype | None = None, num_layers: int | None = None) -> Plan:
    """Check the names, shapes and dtypes of a checkpoint against its config.

    source (Path): Directory in the Hugging Face layout.
    dtype (torch.dtype | None): Dtype of the result; None keeps the files'.
    num_layers (int | None): Number of the first blocks to keep; None keeps all.
    RETURNS (Plan): The plan for `convert_checkpoint`.
    RAISES (BloomError): The checkpoint is damaged, or the options do not fit it.
    """
    _expect_nothing_beside(
        source, "save the pipeline with lora.merge = true, or train without mix_layers, first"
    )
    config, is_kept = first_blocks(BloomConfig.from_json_file(source / CONFIG_FILE), num_layers)
    if quantization_method(config) is not None:
        raise InputError(f"Got a quantised checkpoint in {source}. Convert the one that it was made from.")
    files = WeightFiles(source, wanted=is_kept)
    expected = decoder_shapes(config)
    names, _ = match_weights(expected, files)
    _check_readable({names[name]: files.weights[names[name]].dtype for name in names})
    architectures = config.extra.get("architectures")
    if not (isinstance(architectures, list) and architectures):
        architectures = [head_class(names)]
    if config.tie_word_embeddings and TIED_HEAD in names:
        check_tied_head(files, names.pop(TIED_HEAD), names[EMBEDDING])  # equal: stored once
    heads = sorted(name for name in names if name not in expected)
    kept = {names[name]: files.weights[names[name]] for name in (*expected, *heads)}
    old = {name: getattr(torch, weight.dtype) for name, weight in kept.items()}
    if dtype is None:
        dtype = one_dtype(old.values(), str(files))
    return Plan(
        source,
        describe(config, architectures, dtype),
        dtype,
        {name: weight.numel * dtype.itemsize for name, weight in kept.items()},
        sum(weight.numel * old[name].itemsize for name, weight in kept.items()),
    )


def with_weights(plan: Plan, config: BloomConfig, weights: Mapping[str, Tensor]) -> Plan:
    """Write other weights beside the source's small files, quantised ones for example.

    config (BloomConfig): What describes the weights.
    weights (Mapping[str, Tensor]): By name, in the dtypes that are written.
    RETURNS (Plan): The plan for `convert_checkpoint`.
    """
    sizes = {name: value.numel() * value.itemsize for name, value in weights.items()}
    described = config.replace(extra={**plan.config.extra, **config.extra})
    return replace(plan, config=described, sizes=sizes, weights=weights)


def _expect_nothing_beside(path: Path, advice: str) -> None:
    """RAISES (InputError): The directory has files that fit its weights only: they would be lost or misapplied."""
    for name in BESIDE:
        if (path / name).exists():
            raise InputError(f"Expected a checkpoint alone in {path}, got {name} beside it: {advice}.")


def convert_checkpoint(
    plan: Plan,
    output: Path,
    *,
    max_shard_size: int | str = MAX_SHARD_SIZE,
    force: bool = False,
    progress: Callable[[int], object] = lambda n_bytes: None,
    check: Callable[[Mapping[str, Path]], object] = lambda written: None,
) -> list[Path]:
    """Convert a checkpoint, with as much memory as the largest shard takes.

    A process killed while writing leaves the output as it was. Where a folder holds a checkpoint and nothing else, and
    the system can exchange two folders, the new one takes its place in one step (see `_stands_alone`). Elsewhere the
    old config is removed first, when all files are complete, and the new one takes its name last: a process killed in
    between leaves no checkpoint rather than a mixed one.

    plan (Plan): What to convert.
    output (Path): Directory, created if it does not exist; with force, the source itself is possible.
    max_shard_size (int | str): Bytes, or text such as "2GB". A larger weight gets a shard of its own.
    force (bool): Replace a checkpoint in the output; other files stay.
    progress (Callable): Called with the bytes of each weight after it is converted.
    check (Callable): Called with the paths of all files by name, when they are complete and none has its name yet; if
        it raises, the output stays as it was.
    RETURNS (list[Path]): The files of the result.
    RAISES (InputError): The output is not empty, or the disk is too full.
    """
    _expect_nothing_beside(output, "it is of the weights that are there; choose another directory")
    max_bytes = parse_size(max_shard_size)
    check_output(output, plan.new_n_bytes, force)
    place = output.resolve()  # a link to a folder stays one
    write = partial(_write, plan, max_bytes=max_bytes, progress=progress, check=check)
    with _directory(place):
        names = _exchanged(place, write) or write(place)
    return [output / name for name in names]


def _write(
    plan: Plan,
    folder: Path,
    *,
    max_bytes: int,
    progress: Callable[[int], object],
    check: Callable[[Mapping[str, Path]], object],
) -> list[str]:
    """Write the files of the result, in the place of those of another checkpoint. RETURNS (list[str]): Their names."""

    def remove_old(files: Sequence[Path]) -> None:
        (folder / CONFIG_FILE).unlink(missing_ok=True)
        remove_index(files)

    with replacing(folder / CONFIG_FILE) as config:
        write_text(config, plan.config.to_json_string())
        with replacing_together(folder, before=remove_old) as create:
            weights = write_shards(plan.sizes, _reader(plan, progress), create, max_bytes)
            small = _write_small_files(plan, create)
            names = [CONFIG_FILE, *small, *weights]
            check({name: partial_path(folder / name) for name in names})
        remove_old_weights(folder, weights)
        for name in set(COPIED) - set(small):
            (folder / name).unlink(missing_ok=True)  # of the checkpoint that was here
    return names


def _exchanged(place: Path, write: Callable[[Path], list[str]]) -> list[str] | None:
    """Write into another folder, which then takes the place of one that holds a checkpoint.

    place (Path): The folder.
    write (Callable): Writes into a folder, and returns the files' names.
    RETURNS (list[str] | None): The names; None if the folder stays as it is, because it does not stand alone, not even
        at the end, or cannot be exchanged (such as one of a lower layer in a container).
    """
    if not _stands_alone(place):
        return None
    try:
        with writing_alone(place), replacing_folder(place, in_one_step=True) as twin:
            shutil.copymode(place, twin)
            names = write(twin)
            if not _stands_alone(place):
                raise OSError(errno.EBUSY, "other files were written there meanwhile", str(place))
        return names
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.EXDEV, errno.EBUSY, errno.EPERM):
            return None
        raise


def _stands_alone(place: Path) -> bool:
    """RETURNS (bool): Whether a folder may be replaced by another: there is a checkpoint in it and nothing else, it is
    an ordinary folder of this user's, and this process does not work in it.
    """
    if os.name != "posix" or not (place / CONFIG_FILE).is_file() or os.path.ismount(place):
        return False
    if Path.cwd().resolve().is_relative_to(place) or not os.access(place.parent, os.W_OK | os.X_OK):
        return False
    own, parent = place.stat(), place.parent.stat()
    if own.st_uid != os.geteuid() or own.st_dev != parent.st_dev:
        return False
    known = [*SMALL_FILES, *SAFETENSORS_FILES, *BIN_FILES]
    return all(
        file.is_file()
        and not file.is_symlink()
        and (PARTIAL.fullmatch(file.name) or any(file.match(name) for name in known))
        for file in place.iterdir()
    )


def _reader(plan: Plan, progress: Callable[[int], object]) -> Callable[[Sequence[str]], dict[str, Tensor]]:
    """RETURNS (Callable): Given the names of some weights, returns them as the result has them."""

    def read(names: Sequence[str]) -> dict[str, Tensor]:
        if plan.weights is not None:
            return {name: plan.weights[name].contiguous() for name in names}
        # Opened for each shard: when the map is closed, the pages that were read are free again.
        files = WeightFiles(plan.source, wanted=set(names).__contains__)
        weights = {}
        for name in names:
            weights[name] = _converted(name, files[name], plan.dtype, plan.rows.get(name))
            progress(plan.sizes[name])
        return weights

    return read


@contextmanager
def _directory(path: Path) -> Iterator[None]:
    """Create a directory, and remove it again if nothing was written to it."""
    is_new = not path.exists()
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        if is_new:
            with suppress(OSError):  # others may have put something there meanwhile
                path.rmdir()
        raise


def _write_small_files(plan: Plan, create: Callable[[str], Path]) -> list[str]:
    """RETURNS (list[str]): File names."""
    written = [name for name in COPIED if (plan.source / name).is_file()]
    for name in written:
        if name in plan.contents:
            write_text(create(name), plan.contents[name])
        else:
            shutil.copyfile(plan.source / name, create(name))
    return written


def _check_readable(dtypes: Mapping[str, str]) -> None:
    readable = [str(dtype).removeprefix("torch.") for dtype in READABLE]
    strange = {name: dtype for name, dtype in dtypes.items() if dtype not in readable}
    if strange:
        name, dtype = next(iter(strange.items()))
        raise CheckpointError(
            f"Expected weights in one of {readable}, got {dtype} for {name} and {len(strange) - 1} more."
        )


def check_output(output: Path, n_bytes: int, force: bool) -> None:
    """output (Path): Directory for a checkpoint of n_bytes.
    force (bool): Whether a checkpoint there may be replaced.
    RAISES (InputError): The output is not empty, or the disk is too full.
    """
    if output.exists() and not output.is_dir():
        raise InputError(f"Expected {output} to be a directory or a new name, got a file.")
    if not force and output.is_dir() and not all(PARTIAL.fullmatch(file.name) for file in output.iterdir()):
        raise InputError(
            f"{output} is not empty. Use another directory, or --force (force=True) to replace the checkpoint there."
        )
    disk = next(path for path in (output, *output.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(disk).free
    if n_bytes > free:
        raise InputError(
            f"The converted weights take {format_size(n_bytes)}, but {output} has {format_size(free)} left."
        )


def _converted(name: str, value: Tensor, dtype: torch.dtype, rows: Tensor | None) -> Tensor:
    """RETURNS (Tensor): A copy of the weight, or of some of its rows."""
    if rows is not None:
        value = value[rows]
    check_range(name, value, dtype)
    return value.to(dtype=dtype, copy=rows is None, memory_format=torch.contiguous_format)
