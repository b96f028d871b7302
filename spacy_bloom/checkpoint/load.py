"""From files to a model: every name and shape is checked before any weight is read."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from ..bloom.model import BloomPreTrainedModel
from ..config import BloomConfig
from ..errors import BloomWarning, CheckpointError, InputError
from ..settings import check, integer
from .names import TIED_HEAD, block_of, decoder_shapes, is_head, match_names

READABLE = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
MOST_SHOWN = 400  # problems in one error: more than any BLOOM of 30 blocks has weights

ModelT = TypeVar("ModelT", bound=BloomPreTrainedModel)


class WeightSource(Protocol):
    """Weights by name, whose shapes are known before they are read; str() says where they are from."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]: ...

    def __getitem__(self, name: str) -> Tensor: ...


class TensorSource(dict[str, Tensor]):
    """Weights that are in memory already."""

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """RETURNS (dict[str, tuple[int, ...]]): Shapes by name."""
        return {name: tuple(value.shape) for name, value in self.items()}

    def __str__(self) -> str:
        return "the serialised bytes"


def load_model(
    make: Callable[[BloomConfig], ModelT],
    config: BloomConfig,
    source: WeightSource,
    *,
    dtype: torch.dtype | None = None,
    device: str | torch.device = "cpu",
    new_head: bool = True,
) -> ModelT:
    """Build a model around weights.

    On CPU, weights whose dtype already fits stay views of the mapped files: loading copies nothing, and
    processes that load the same files share their pages. Files are never written through the map.

    make (Callable): The model's class.
    config (BloomConfig): Its geometry.
    source (WeightSource): The weights; files, or tensors.
    dtype (torch.dtype | None): Dtype of the weights; None keeps the files'.
    device (str | torch.device): Where to put them.
    new_head (bool): Whether a head that the files lack may start from random weights, with a warning.
    RETURNS (ModelT): The model in evaluation mode.
    RAISES (CheckpointError): One error that lists all missing, unexpected and misshapen weights.
    """
    with torch.device("meta"):
        model = make(config)
    expected = dict(model.named_parameters())
    shapes = source.shapes
    names = match_names(shapes, expected)
    missing_head = check_weights(
        {name: tuple(value.shape) for name, value in expected.items()},
        {name: shapes[in_file] for name, in_file in names.items()},
        str(source),
        new_head=new_head,
    )
    _check_model_head(model, expected, source, names)
    state = {n: _place(n, source[names[n]], dtype, device) for n in expected if n not in missing_head}
    one_dtype((str(value.dtype) for value in state.values()), str(source))
    if missing_head:
        head_dtype = next(iter(state.values())).dtype
        state.update(_random_head({n: expected[n] for n in missing_head}, config, head_dtype, device))
        warnings.warn(
            f"{source} has no weights for {sorted(missing_head)}: they are random. Train them before use.",
            BloomWarning,
            stacklevel=3,
        )
    model.load_state_dict(state, strict=False, assign=True)
    model.tie_weights()
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return model.eval()


def _place(name: str, value: Tensor, dtype: torch.dtype | None, device: str | torch.device) -> Tensor:
    if value.dtype not in READABLE:
        raise CheckpointError(f"Expected the weight {name} in one of {READABLE}, got {value.dtype}.")
    return value.to(device=device, dtype=dtype)


def one_dtype(dtypes: Iterable[str], where: str) -> str:
    """RETURNS (str): The dtype that all weights have. RAISES (CheckpointError): They have several."""
    several = sorted(set(dtypes))
    if len(several) != 1:
        raise CheckpointError(
            f"The weights in {where} have several dtypes: {several}. Say which to load them in."
        )
    return several[0]


def _check_model_head(
    model: BloomPreTrainedModel,
    expected: Mapping[str, Tensor],
    source: WeightSource,
    names: Mapping[str, str],
) -> None:
    tied = model.state_dict(keep_vars=True).get(TIED_HEAD)
    if tied is None or TIED_HEAD in expected or TIED_HEAD not in names:
        return
    embedding = next(name for name, parameter in expected.items() if parameter is tied)
    check_tied_head(source, names[TIED_HEAD], names[embedding])


def check_tied_head(source: WeightSource, head: str, embedding: str) -> None:
    """A head tied to the embedding must be equal to it where files hold both: one would be lost.

    source (WeightSource): The weights.
    head, embedding (str): Their names there.
    RAISES (CheckpointError): They are not equal.
    """
    one, other = source[head], source[embedding]
    if one.shape != other.shape or not torch.equal(one.to(other.dtype), other):
        raise CheckpointError(
            f"The config says that {head} is {embedding}, but {source} holds other numbers for it. Pass "
            "tie_word_embeddings=False, or set it in config.json, to use both."
        )


def check_weights(
    expected: Mapping[str, tuple[int, ...]],
    found: Mapping[str, tuple[int, ...]],
    where: str,
    *,
    new_head: bool,
) -> set[str]:
    """Compare what files hold with what a config describes.

    expected, found (Mapping[str, tuple[int, ...]]): Shapes by name, in one spelling.
    where (str): Where the weights are from, for the error.
    new_head (bool): Whether a head may be missing.
    RETURNS (set[str]): Weights of a head that the files do not hold.
    RAISES (CheckpointError): One error that lists all missing, unexpected and misshapen weights.
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
        rest = [f"and {len(problems) - MOST_SHOWN} more"] if len(problems) > MOST_SHOWN else []
        raise CheckpointError(
            f"The weights in {where} are not those its config describes ({len(problems)} problems):\n  "
            + "\n  ".join([problem[:200] for problem in problems[:MOST_SHOWN]] + rest)
        )
    return missing_head


def match_decoder(config: BloomConfig, source: WeightSource) -> dict[str, str]:
    """Compare a checkpoint with its config where there is no model to load it into.

    config (BloomConfig): What the weights should be.
    source (WeightSource): The weights.
    RETURNS (dict[str, str]): The source's name of each weight, heads included, by the name without prefix.
    RAISES (CheckpointError): One error that lists all missing, unexpected and misshapen weights.
    """
    expected, shapes = decoder_shapes(config), source.shapes
    names = match_names(shapes, expected)
    found = {name: shapes[in_file] for name, in_file in names.items()}
    check_weights(expected, found, str(source), new_head=True)
    return names


def first_blocks(config: BloomConfig, num_layers: int | None) -> tuple[BloomConfig, Callable[[str], bool]]:
    """Keep the first blocks of a model and leave the weights of the others unread.

    config (BloomConfig): Of the whole model.
    num_layers (int | None): How many blocks to keep; None keeps all.
    RETURNS (tuple[BloomConfig, Callable]): The config of what is kept, and whether a weight belongs to it,
        given its name.
    RAISES (InputError): The model does not have so many.
    """
    if num_layers is None:
        return config, lambda name: True
    check("num_layers", num_layers, integer(1, config.n_layer), error=InputError)
    # Beyond what the config says there is nothing to leave out: such weights stay errors.
    left_out = range(num_layers, config.n_layer)
    return config.replace(n_layer=num_layers), lambda name: block_of(name) not in left_out


def _random_head(
    expected: Mapping[str, Tensor], config: BloomConfig, dtype: torch.dtype, device: str | torch.device
) -> dict[str, Tensor]:
    """A head's weights as a new model has them, normal matrices and zero biases, drawn under the caller's seed."""
    weights = {name: torch.zeros(value.shape) for name, value in expected.items()}
    for value in weights.values():
        if value.dim() > 1:
            value.normal_(std=config.initializer_range)
    return {name: value.to(device=device, dtype=dtype) for name, value in weights.items()}
