"""From weights to a model: every name and shape is checked before any weight is read."""

import logging
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..config import BloomConfig
from ..errors import BloomWarning, CheckpointError, InputError
from ..settings import check, integer
from .files import WeightSource
from .names import PREFIX, TIED_HEAD, block_of, is_fixed, is_head
from .quantized import find_quantization, quantization_method

logger = logging.getLogger(__name__)

MAX_SHOWN = 400  # problems in one error: more than any BLOOM of 30 blocks has weights
READABLE = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Place:
    """Where a weight goes.

    device (str | torch.device): The device.
    slices (tuple[slice, ...]): The part of the full weight that is loaded, dimension by dimension; () is all of it.
    """

    device: str | torch.device = "cpu"
    slices: tuple[slice, ...] = ()


# Ways to load a model onto several processes or devices, by the argument of `from_pretrained` that asks for one; rooms
# above add theirs. Each is called like `load_model`.
SPREADS: dict[str, Callable[..., Any]] = {}

# From a weight's name in the model and its full shape to its place.
Placement = Callable[[str, tuple[int, ...]], Place]


class LoadableModel(nn.Module):
    """What loading needs of a model: its parameters are the weights, and heads are tied by a method."""

    def tie_weights(self) -> None:
        """Join weights that the config says are one; nothing to do without an LM head."""


ModelT = TypeVar("ModelT", bound=LoadableModel)


def to_dtype(dtype: torch.dtype | str | None) -> torch.dtype | None:
    """RETURNS (torch.dtype | None): The dtype of a name in a config; None for "auto", the checkpoint's own.
    RAISES (InputError): An unknown name.
    """
    if dtype is None or dtype == "auto":
        return None
    if isinstance(dtype, torch.dtype) and dtype in DTYPES.values():
        return dtype
    if isinstance(dtype, str) and dtype in DTYPES:
        return DTYPES[dtype]
    raise InputError(f"Expected dtype to be one of {sorted(DTYPES)} or 'auto', got {dtype!r}.")


@torch.inference_mode(mode=False)  # weights that were made inside could never be trained
def load_model(
    make: Callable[[BloomConfig], ModelT],
    config: BloomConfig,
    source: WeightSource,
    *,
    dtype: torch.dtype | None = None,
    device: str | torch.device = "cpu",
    placement: Placement | None = None,
    new_head: bool = True,
    quantization: str | None = None,
) -> ModelT:
    """Build a model around weights.

    On CPU, weights whose dtype already fits stay views of the mapped files: loading copies nothing, and
    processes that load the same files share their pages. Files are never written through the map.

    make (Callable): The model's class.
    config (BloomConfig): Its geometry.
    source (WeightSource): The weights; files, or tensors.
    dtype (torch.dtype | None): Dtype of the weights; None keeps the files'. float32 beside what is quantised.
    device (str | torch.device): Where whole weights go.
    placement (Placement | None): The part of each weight to load, and its device; None loads whole weights.
    new_head (bool): Whether a head that the files lack may start from random weights, with a warning.
    quantization (str | None): How to quantise weights that are in float. Integers are loaded as they are.
    RETURNS (ModelT): The model in evaluation mode.
    RAISES (CheckpointError): Missing, unexpected or misshapen weights; all are listed.
    RAISES (ConfigError): An unknown quantisation.
    """
    way = None if quantization is None else find_quantization(quantization)
    model = frame_model(make, config)
    if quantization_method(config) is not None:
        way, dtype = None, torch.float32  # what is computed in
    elif way is not None:
        dtype = None  # as the files have them: a float32 copy of all would be in the way
    placement = placement or (lambda name, shape: Place(device))
    _load_weights(model, config, source, placement, dtype, new_head=new_head)
    return model.eval() if way is None else way.quantize(model)


def _load_weights(
    model: LoadableModel,
    config: BloomConfig,
    source: WeightSource,
    placement: Placement,
    dtype: torch.dtype | None,
    *,
    new_head: bool,
) -> None:
    """Make a model's parameters of the weights, once their names and shapes are known to be right."""
    frame = dict(model.named_parameters())
    full = {name: tuple(value.shape) for name, value in frame.items()}
    names, missing_head = match_weights(full, source, new_head=new_head)
    _check_model_head(model, source, names)
    places = {name: placement(name, shape) for name, shape in full.items()}
    state = {n: _read(source, names[n], frame[n], places[n], dtype) for n in full if n not in missing_head}
    free = [v.dtype for n, v in state.items() if _has_dtype(n, v) and not _is_half(frame[n])]
    stored = one_dtype(free, str(source))
    if missing_head:
        integers = sorted(name for name in missing_head if not frame[name].is_floating_point())
        if integers:
            raise CheckpointError(
                f"{source} has no weights for {integers}, and a new head cannot start in integers. Set "
                "tie_word_embeddings in its config as it was saved, or load the checkpoint that was quantised."
            )
        state |= _random_head({name: full[name] for name in missing_head}, places, config, stored)
        warnings.warn(
            f"{source} has no weights for {sorted(missing_head)}: they are random. Train them before use.",
            BloomWarning,
            stacklevel=4,
        )
    _assign(model, state)
    logger.debug("%s: %d weights from %s, %s", type(model).__name__, len(state), source, stored)


def frame_model(make: Callable[[BloomConfig], ModelT], config: BloomConfig) -> ModelT:
    """RETURNS (ModelT): The model that a config describes, on the meta device."""
    with torch.device("meta"):
        model = make(config).float()
        method = quantization_method(config)
        if method is not None:
            find_quantization(method).frame(model)
    return model


def _has_dtype(name: str, value: Tensor) -> bool:
    """RETURNS (bool): Whether a weight is in the dtype that a model is loaded in: not integers and their scales."""
    return value.is_floating_point() and not is_fixed(name)


def _is_half(frame: Tensor) -> bool:
    """RETURNS (bool): Whether a weight stays in 16 bits, whatever is computed in."""
    return frame.dtype in (torch.float16, torch.bfloat16)


def _read(source: WeightSource, name: str, frame: Tensor, place: Place, dtype: torch.dtype | None) -> Tensor:
    value = source.part(name, place.slices).contiguous() if place.slices else source[name]
    readable = READABLE if frame.is_floating_point() else (frame.dtype,)
    if value.dtype not in readable:
        raise CheckpointError(f"Expected the weight {name} in one of {readable}, got {value.dtype}.")
    if _is_half(frame):
        dtype = frame.dtype
    return value.to(device=place.device, dtype=dtype if _has_dtype(name, value) else value.dtype)


def _assign(model: LoadableModel, state: Mapping[str, Tensor]) -> None:
    """Put weights into a model, parts in place of the whole: `load_state_dict` would want the full shapes."""
    for name, value in state.items():
        owner, _, last = name.rpartition(".")
        module = model.get_submodule(owner)
        learns = module.get_parameter(last).requires_grad
        setattr(module, last, nn.Parameter(value, requires_grad=learns))
    model.tie_weights()


def one_dtype(dtypes: Iterable[torch.dtype], where: str) -> torch.dtype:
    """RETURNS (torch.dtype): The dtype that all weights have. RAISES (CheckpointError): They have several."""
    several = set(dtypes)
    if len(several) != 1:
        raise CheckpointError(
            f"The weights in {where} have several dtypes: {sorted(map(str, several))}. Say which to load them in."
        )
    return several.pop()


def _check_model_head(model: nn.Module, source: WeightSource, names: Mapping[str, str]) -> None:
    tied = model.state_dict(keep_vars=True).get(TIED_HEAD)
    own = {parameter: name for name, parameter in model.named_parameters()}
    if tied is not None and own[tied] != TIED_HEAD and TIED_HEAD in names:
        check_tied_head(source, names[TIED_HEAD], names[own[tied]])


def check_tied_head(source: WeightSource, head: str, embedding: str) -> None:
    """Check that a head tied to the embedding equals it, if the files have both: one of them is not loaded.

    source (WeightSource): The weights.
    head, embedding (str): Their names in the source.
    RAISES (CheckpointError): They differ.
    """
    one, other = source[head], source[embedding]
    if one.shape != other.shape or not torch.equal(one.to(other.dtype), other):
        raise CheckpointError(
            f"The config ties {head} to {embedding}, but they differ in {source}. Pass tie_word_embeddings=False, or "
            "set it in config.json, to use both."
        )


def match_weights(
    expected: Mapping[str, tuple[int, ...]], source: WeightSource, *, new_head: bool = True
) -> tuple[dict[str, str], set[str]]:
    """Compare the weights of a checkpoint with those that its config describes, before any is read.

    expected (Mapping[str, tuple[int, ...]]): Shapes by the names in the model.
    source (WeightSource): The weights.
    new_head (bool): Whether a head may be missing.
    RETURNS (tuple[dict[str, str], set[str]]): Names in the source by names in the model, those of heads that the
        model lacks included; the head's weights that are missing.
    RAISES (CheckpointError): Missing, unexpected or misshapen weights; all are listed.
    """
    names = match_names(source.shapes, expected)
    found = {name: source.shapes[in_file] for name, in_file in names.items()}
    return names, check_weights(expected, found, str(source), new_head=new_head)


def match_names(in_file: Iterable[str], in_model: Iterable[str]) -> dict[str, str]:
    """Match the names in a file with those in a model; either may have the prefix.

    RETURNS (dict[str, str]): Names in the file by names in the model. Weights that the model lacks are included, under
        the name they would have there.
    RAISES (CheckpointError): The file has a weight both with and without the prefix.
    """
    in_model = set(in_model)
    prefixed = any(name.startswith(PREFIX) for name in in_model)
    pairs: dict[str, str] = {}
    for name in in_file:
        bare = name.removeprefix(PREFIX)
        own = PREFIX + bare if prefixed and not is_head(bare) else bare
        if own in pairs:
            raise CheckpointError(
                f"Got the same weight twice, as {pairs[own]} and {name}. Remove one of them."
            )
        pairs[own] = name
    return pairs


def check_weights(
    expected: Mapping[str, tuple[int, ...]],
    found: Mapping[str, tuple[int, ...]],
    where: str,
    *,
    new_head: bool,
) -> set[str]:
    """Compare the weights in files with those that a config describes.

    expected, found (Mapping[str, tuple[int, ...]]): Shapes by the names in the model.
    where (str): Source of the weights, for the error message.
    new_head (bool): Whether a head may be missing.
    RETURNS (set[str]): The head's weights that are missing.
    RAISES (CheckpointError): Missing, unexpected or misshapen weights; all are listed.
    """
    missing = [name for name in expected if name not in found]
    missing_head = {name for name in missing if is_head(name)} if new_head else set()
    problems = [f"missing: {name} {expected[name]}" for name in missing if name not in missing_head]
    for name, shape in found.items():
        if name in expected and expected[name] != shape:
            problems.append(f"misshapen: {name} is {shape}, the config says {expected[name]}")
        elif name not in expected and not is_head(name):
            problems.append(f"unexpected: {name} {shape}")
    if problems:
        rest = [f"and {len(problems) - MAX_SHOWN} more"] if len(problems) > MAX_SHOWN else []
        raise CheckpointError(
            f"The weights in {where} do not match its config ({len(problems)} problems):\n  "
            + "\n  ".join([problem[:200] for problem in problems[:MAX_SHOWN]] + rest)
        )
    return missing_head


def first_blocks(config: BloomConfig, num_layers: int | None) -> tuple[BloomConfig, Callable[[str], bool]]:
    """Keep the first blocks of a model, without reading the others.

    config (BloomConfig): The whole model's config.
    num_layers (int | None): Number of blocks to keep; None keeps all.
    RETURNS (tuple[BloomConfig, Callable]): The new config, and a function that says whether a weight is kept, given
        its name.
    RAISES (InputError): The model has fewer blocks.
    """
    if num_layers is None:
        return config, lambda name: True
    check("num_layers", num_layers, integer(1, config.n_layer), error=InputError)
    # Only these: blocks beyond the config stay errors.
    left_out = range(num_layers, config.n_layer)
    return config.replace(n_layer=num_layers), lambda name: block_of(name) not in left_out


def _random_head(
    shapes: Mapping[str, tuple[int, ...]],
    places: Mapping[str, Place],
    config: BloomConfig,
    dtype: torch.dtype,
) -> dict[str, Tensor]:
    """A head's weights as a new model has them, normal matrices and zero biases, drawn under the caller's seed."""
    weights = {name: torch.zeros(shape) for name, shape in shapes.items()}
    for value in weights.values():
        if value.dim() > 1:
            value.normal_(std=config.initializer_range)
    return {n: value[places[n].slices].to(places[n].device, dtype) for n, value in weights.items()}
