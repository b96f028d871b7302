"""The state from which a training run resumes exactly: one safetensors file, replaced atomically. That of several
ranks, a folder of such files, is in `sharded/state.py`; either can be resumed as the other.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from ..errors import CheckpointError
from ..files import replacing
from .optimizers import state_keys

FOLDER, PROGRESS = "ranks-", "progress.json"  # of the state of several ranks
WEIGHT = "weight"  # tensors are named KIND/PARAMETER; other kinds are named by the optimizer


@dataclass
class Progress:
    """The position of a run, besides weights and optimizer.

    step (int): Steps done.
    epoch, place (int): Where the next batch starts.
    minutes (float): Time spent.
    n_pieces (int): Pieces trained on.
    loss_sum (float), loss_steps (int): Since the last evaluation.
    eval_minutes (float): When the last evaluation ended.
    best_bpb (float | None): Lowest bits per byte of all evaluations.
    run (dict[str, Any]): Anything the caller wants to keep; serializable as JSON.
    """

    step: int = 0
    epoch: int = 0
    place: int = 0
    minutes: float = 0.0
    n_pieces: int = 0
    loss_sum: float = 0.0
    loss_steps: int = 0
    eval_minutes: float = 0.0
    best_bpb: float | None = None
    run: dict[str, Any] = field(default_factory=dict)


def state_path(output: Path) -> Path:
    """RETURNS (Path): The state file in a run's output directory."""
    return output / "state" / "state.safetensors"


def find_state(output: Path) -> Path | None:
    """RETURNS (Path | None): The newest state in a run's output directory, a file or a folder of several ranks; None
        if there is none.
    RAISES (CheckpointError): A state is damaged.
    """
    found = [path for path in (state_path(output), *_folders(output)) if path.exists()]
    # There are two only after a kill between a new state and the removal of the old one.
    return max(found, key=lambda path: (read_progress(path).step, path.is_dir(), path.name), default=None)


def next_folder(output: Path) -> Path:
    """RETURNS (Path): A new name for the state of several ranks."""
    numbers = [int(folder.name.removeprefix(FOLDER)) for folder in _folders(output)]
    return output / "state" / f"{FOLDER}{max(numbers, default=0) + 1:05d}"


def keep_only(output: Path, kept: Path) -> None:
    """Remove the states that a new one replaces.

    output (Path): A run's output directory.
    kept (Path): The new state, which is whole.
    """
    for path in (state_path(output), *_folders(output)):
        if path != kept and path.is_dir():
            shutil.rmtree(path)
        elif path != kept:
            path.unlink(missing_ok=True)


def _folders(output: Path) -> list[Path]:
    """RETURNS (list[Path]): The states of several ranks, the newest last."""
    found = (output / "state").glob(f"{FOLDER}[0-9]*")
    return sorted(path for path in found if path.name.removeprefix(FOLDER).isdecimal())


def save_state(path: Path, model: nn.Module, optimizers: Sequence[Optimizer], progress: Progress) -> None:
    """Write the state; a kill or a crash at any time leaves the last good one.

    path (Path): Replaced if it exists.
    model (Module): Its parameters are saved, tied ones once.
    optimizers (Sequence[Optimizer]): Their state of each parameter is saved.
    progress (Progress): Saved as JSON in the file's metadata.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = state_tensors(model, optimizers)
    with replacing(path) as partial:
        save_file(tensors, partial, metadata={"progress": json.dumps(asdict(progress))})


def read_progress(path: Path) -> Progress:
    """RETURNS (Progress): Of a saved state.
    RAISES (CheckpointError): The file is not a state.
    """
    try:
        if path.is_dir():
            return Progress(**json.loads((path / PROGRESS).read_text("utf8")))
        with safe_open(path, framework="pt") as file:
            return Progress(**json.loads((file.metadata() or {})["progress"]))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is not the state of a training run ({error!r}).") from error


def load_state(path: Path, model: nn.Module, optimizers: Sequence[Optimizer]) -> Progress:
    """Restore a saved state into a model and its optimizers.

    path (Path): File written by `save_state`.
    model (Module): With the geometry that was saved.
    optimizers (Sequence[Optimizer]): Each parameter of the model belongs to one of them.
    RETURNS (Progress): The position of the run.
    RAISES (CheckpointError): The file is not a state, or belongs to another model or optimizer.
    """
    progress = read_progress(path)
    with safe_open(path, framework="pt") as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 (not a dict)
        check_state(path, shapes, model, optimizers, after_first_step=bool(progress.step))
        parameters, owners = dict(model.named_parameters()), owners_of(optimizers)
        for full_name in shapes:
            kind, _, name = full_name.partition("/")
            tensor, parameter = file.get_tensor(full_name), parameters[name]
            if kind == WEIGHT:
                with torch.no_grad():
                    parameter.copy_(tensor)
            else:  # the optimizer keeps its count of steps, which has no dimensions, on the CPU
                device = parameter.device if tensor.dim() else "cpu"
                owners[parameter].state[parameter][kind] = tensor.to(device, copy=True)
    return progress


def owners_of(optimizers: Sequence[Optimizer]) -> dict[nn.Parameter, Optimizer]:
    """RETURNS (dict[Parameter, Optimizer]): The optimizer of each parameter."""
    return {
        p: optimizer for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]
    }


def check_state(
    path: Path,
    shapes: dict[str, tuple[int, ...]],
    model: nn.Module,
    optimizers: Sequence[Optimizer],
    *,
    after_first_step: bool,
) -> None:
    """Compare the tensors of a state with a run.

    path (Path): Of the state, for the error message.
    shapes (dict[str, tuple[int, ...]]): Of its tensors, by name.
    after_first_step (bool): Whether optimizers keep something already.
    RAISES (CheckpointError): It is the state of another model or optimizer; all differences are listed.
    """
    parameters, owners = dict(model.named_parameters()), owners_of(optimizers)
    kinds = {name: state_keys(owners[p]) if after_first_step else () for name, p in parameters.items()}
    different = _differences(shapes, parameters, kinds)
    if different:
        raise CheckpointError(
            f"{path} is the state of another model or optimizer; these differ: {', '.join(different)}."
        )


def _differences(
    shapes: dict[str, tuple[int, ...]], parameters: dict[str, nn.Parameter], kinds: dict[str, tuple[str, ...]]
) -> list[str]:
    """kinds (dict[str, tuple[str, ...]]): What the optimizers keep of each parameter.
    RETURNS (list[str]): Tensors that are missing, unexpected or of another shape.
    """
    expected = {f"{kind}/{name}" for name in parameters for kind in (WEIGHT, *kinds[name])}
    wrong = {
        full_name
        for full_name, shape in shapes.items()
        for kind, _, name in [full_name.partition("/")]
        if full_name in expected and shape != tuple(parameters[name].shape) and (shape or kind == WEIGHT)
    }
    return sorted((expected ^ shapes.keys()) | wrong)


def state_tensors(model: nn.Module, optimizers: Sequence[Optimizer]) -> dict[str, Tensor]:
    """RETURNS (dict[str, Tensor]): Weights and what the optimizers keep of them, by the names in a state."""
    weights = {f"{WEIGHT}/{name}": p.detach().contiguous() for name, p in model.named_parameters()}
    return weights | {
        f"{kind}/{name}": tensor.contiguous()
        for optimizer in optimizers
        for name, parameter in model.named_parameters()
        for kind, tensor in optimizer.state.get(parameter, {}).items()
    }
