"""The state of a run on several ranks: each writes its part, and any number of them, also one, resume from it.

A folder of safetensors files by torch.distributed.checkpoint, without pickles, and the position of the run. Its tensors
have the names that they have in the file of one process, which several ranks read too.
"""

import json
import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.optim import Optimizer

from ...errors import CheckpointError
from ...files import partial_path, to_json, write_file
from ..optimizers import state_keys
from ..state import (
    PROGRESS,
    Progress,
    check_state,
    keep_only,
    next_folder,
    owners_of,
    read_progress,
    state_tensors,
)

FILE_BYTES = 2**27  # of a rank's file


def save_folder(output: Path, model: nn.Module, optimizers: Sequence[Optimizer], progress: Progress) -> None:
    """Write the state, all ranks together. It takes its name when it is whole; then the old one is removed.

    output (Path): The run's output directory, which all ranks reach under this path.
    model (Module): Its parameters are divided among the ranks.
    """
    from torch.distributed.checkpoint import HuggingFaceStorageWriter, save

    is_first = dist.get_rank() == 0
    path = next_folder(output)
    partial = partial_path(path)
    if is_first:
        shutil.rmtree(partial, ignore_errors=True)  # left by a process that was killed
        partial.mkdir(parents=True)
    dist.barrier()
    tensors = state_tensors(model, optimizers)
    writer = HuggingFaceStorageWriter(
        str(partial), fqn_to_index_mapping=files_of(tensors, dist.get_world_size()), save_distributed=True
    )
    save(tensors, storage_writer=writer)  # returns when all have written
    if is_first:
        write_file(partial / PROGRESS, to_json(asdict(progress)))
        os.replace(partial, path)
        keep_only(output, path)
    dist.barrier()  # nobody looks for the state before it has its name


def files_of(tensors: Mapping[str, Tensor], n_ranks: int, max_bytes: int = FILE_BYTES) -> dict[str, int]:
    """Which of a rank's files each tensor goes to. A file is put together in memory, twice, before it is written.

    tensors (Mapping[str, Tensor]): Whole sizes, by name.
    n_ranks (int): Number of ranks that share each of them.
    max_bytes (int): Size of a file with more than one tensor.
    RETURNS (dict[str, int]): Numbers of files from 1, by name.
    """
    files: dict[str, int] = {}
    number, held = 1, 0
    for name, tensor in tensors.items():
        size = tensor.numel() * tensor.element_size() // n_ranks
        if held and held + size > max_bytes:
            number, held = number + 1, 0
        files[name] = number
        held += size
    return files


def load_folder(path: Path, model: nn.Module, optimizers: Sequence[Optimizer]) -> Progress:
    """Restore a state into a model, whole in one process or divided among ranks.

    path (Path): A folder written by `save_folder`, by any number of ranks, or a file of one process.
    model (Module): With the geometry that was saved.
    optimizers (Sequence[Optimizer]): Each parameter of the model belongs to one of them.
    RETURNS (Progress): The position of the run.
    RAISES (CheckpointError): The folder is not a state, or belongs to another model or optimizer.
    """
    from torch.distributed.checkpoint import CheckpointException, HuggingFaceStorageReader, load

    progress = read_progress(path)
    folder = path if path.is_dir() else path.parent
    try:
        metadata = HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata
        shapes = {name: tuple(one.size) for name, one in metadata.items()}  # type: ignore[union-attr]
        check_state(path, shapes, model, optimizers, after_first_step=bool(progress.step))
        if progress.step:
            _make_moments(optimizers)
        tensors = state_tensors(model, optimizers)
        with warnings.catch_warnings():  # that a single process reads what several have written
            warnings.filterwarnings("ignore", message="torch.distributed is disabled", category=UserWarning)
            load(
                tensors,
                storage_reader=HuggingFaceStorageReader(str(folder)),
                no_dist=not dist.is_initialized(),
            )
    except (OSError, SafetensorError, json.JSONDecodeError, CheckpointException) as error:
        raise CheckpointError(f"{path} is not the state of a training run ({error!r}).") from error
    return progress


def _make_moments(optimizers: Sequence[Optimizer]) -> None:
    """Give the optimizers what they keep of each parameter, to be read into: they make it in their first step."""
    for parameter, optimizer in owners_of(optimizers).items():
        for kind in state_keys(optimizer):
            optimizer.state[parameter][kind] = _zeros(kind, parameter)


def _zeros(kind: str, parameter: Tensor) -> Tensor:
    return torch.zeros(()) if kind == "step" else torch.zeros_like(parameter)
