"""Which layers of BLOOM learn, and how fast each does."""

from collections.abc import Mapping
from typing import Any

from ..bloom.model import BloomModel
from ..errors import ConfigError
from ..settings import integer, optional

BLOCKS = optional(integer(0))  # None is all of them, and the embeddings


class LayerSchedule:
    """How many layers learn, step by step. They are counted from the top: the last block with the final layer norm is
    the first. The embeddings, below all blocks, learn only where all do.

    layers (int | Mapping[str, int | None] | None): Blocks that learn; None is all, embeddings included. A mapping
        says it from a step on: {"0": 0, "500": 2, "1000": None}.
    RAISES (ConfigError): Anything else.
    SOURCE: gradual unfreezing of Howard and Ruder 2018 (arXiv 1801.06146).
    """

    def __init__(self, layers: int | Mapping[str, int | None] | None) -> None:
        by_step: Mapping[str, Any] = layers if isinstance(layers, Mapping) else {"0": layers}
        if not all(str(step).isdecimal() for step in by_step) or not all(
            map(BLOCKS.accepts, by_step.values())
        ):
            raise ConfigError(
                "Expected trainable_layers to be a number of blocks, null for everything, or numbers by the step from "
                f'which on they hold, such as {{"0": 1, "500": 4, "1000": null}}; got {layers!r}.'
            )
        self._by_step = sorted((int(step), number) for step, number in by_step.items())
        if not self._by_step or self._by_step[0][0] != 0:
            raise ConfigError(
                f'Expected trainable_layers to say what learns from step "0" on, got {layers!r}.'
            )

    @property
    def is_everything(self) -> bool:
        """RETURNS (bool): Whether all layers learn from the first step on."""
        return self._by_step == [(0, None)]

    def at(self, step: int) -> int | None:
        """RETURNS (int | None): Blocks that learn in a step; None is everything."""
        return [number for start, number in self._by_step if start <= step][-1]

    def check(self, n_layer: int) -> None:
        """RAISES (ConfigError): More layers are to learn than there are."""
        most = max((number for _, number in self._by_step if number is not None), default=0)
        if most > n_layer:
            raise ConfigError(
                f"Expected trainable_layers of at most {n_layer}, the blocks of the checkpoint, got {most}. "
                "null trains everything, embeddings included."
            )


def layer_depth(name: str, n_layer: int) -> int:
    """RETURNS (int): How many layers are above the one of a parameter: 0 in the last block, n_layer in the embeddings.

    name (str): As in `BloomModel.named_parameters`.
    """
    if name.startswith("h."):
        return n_layer - 1 - int(name.split(".")[1])
    return 0 if name.startswith("ln_f.") else n_layer


def set_trainable_layers(model: BloomModel, layers: int | None) -> None:
    """Let the last layers learn. The model records nothing below the lowest of them.

    layers (int | None): Blocks; None is everything.
    """
    n_layer = model.config.n_layer
    for name, parameter in model.named_parameters():
        learns = layers is None or layer_depth(name, n_layer) < layers
        parameter.requires_grad_(learns)
        if not learns:
            parameter.grad = None  # a gradient of 0 would still be a step to an optimizer with momentum
