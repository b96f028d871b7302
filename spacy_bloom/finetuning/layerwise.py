"""Which layers of BLOOM learn, and how fast each does."""

from collections.abc import Mapping
from typing import Any

from ..bloom.model import BloomModel
from ..errors import ConfigError
from ..settings import integer, optional

BLOCKS = optional(integer(0))  # None is all of them, and the embeddings


class LayerSchedule:
    """How many layers learn, step by step. Layers are counted from the top: the first is the last block with the final
    layer norm. The embeddings are below all blocks and learn only if everything does.

    layers (int | Mapping[str, int | None] | None): Number of blocks that learn; None is everything, embeddings
        included. A mapping gives the number from each step on: {"0": 0, "500": 2, "1000": None}.
    RAISES (ConfigError): Anything else.
    SOURCE: gradual unfreezing of Howard and Ruder 2018 (arXiv 1801.06146).
    """

    def __init__(self, layers: int | Mapping[str, int | None] | None) -> None:
        by_step: Mapping[str, Any] = layers if isinstance(layers, Mapping) else {"0": layers}
        if not all(str(step).isdecimal() for step in by_step) or not all(
            map(BLOCKS.accepts, by_step.values())
        ):
            raise ConfigError(
                "Expected trainable_layers to be a number of blocks, null for everything, or numbers by the step they "
                f'hold from, such as {{"0": 1, "500": 4, "1000": null}}; got {layers!r}.'
            )
        self._by_step = sorted((int(step), number) for step, number in by_step.items())
        if not self._by_step or self._by_step[0][0] != 0:
            raise ConfigError(f'Expected trainable_layers to start at step "0", got {layers!r}.')

    @property
    def is_everything(self) -> bool:
        """RETURNS (bool): Whether everything learns from the first step on."""
        return self._by_step == [(0, None)]

    def at(self, step: int) -> int | None:
        """RETURNS (int | None): Number of blocks that learn in a step; None is everything."""
        return [number for start, number in self._by_step if start <= step][-1]

    def check(self, n_layer: int) -> None:
        """RAISES (ConfigError): More layers are to learn than the model has."""
        highest = max((number for _, number in self._by_step if number is not None), default=0)
        if highest > n_layer:
            raise ConfigError(
                f"Expected trainable_layers of at most {n_layer}, the checkpoint's number of blocks, got {highest}. "
                "Use null to train everything, embeddings included."
            )


def layer_depth(name: str, n_layer: int) -> int:
    """RETURNS (int): Number of layers above a parameter's own: 0 in the last block, n_layer in the embeddings.

    name (str): As in `BloomModel.named_parameters`.
    """
    if name.startswith("h."):
        return n_layer - 1 - int(name.split(".")[1])
    return 0 if name.startswith("ln_f.") else n_layer


def set_trainable_layers(model: BloomModel, layers: int | None) -> None:
    """Let the last layers learn, apart from integers. The model records nothing below them for the backward pass.

    layers (int | None): Number of blocks; None is everything.
    """
    n_layer = model.config.n_layer
    for name, parameter in model.named_parameters():
        learns = parameter.is_floating_point() and (layers is None or layer_depth(name, n_layer) < layers)
        parameter.requires_grad_(learns)
        if not learns:
            parameter.grad = None  # a gradient of 0 would still be a step for an optimizer with momentum
