"""What of a checkpoint is not as its model expects it, and what may stand in."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..config import BloomConfig
from ..errors import BloomWarning
from .files import WeightSource
from .load import LoadableModel, frame_model, match_names
from .names import TIED_HEAD

Shape = tuple[int, ...]


@dataclass(frozen=True)
class LoadingInfo:
    """Names as in the model; of what the model lacks as in the files.

    missing (list[str]): Weights that the files lack; they are random.
    unexpected (list[str]): Weights that the model lacks: heads of other classes.
    mismatched (dict[str, tuple[str, Shape, Shape]]): Weights of another shape in the files: their name there, the shape
        there and in the model.
    """

    missing: list[str]
    unexpected: list[str]
    mismatched: dict[str, tuple[str, Shape, Shape]]

    @classmethod
    def of(
        cls, make: Callable[[BloomConfig], LoadableModel], config: BloomConfig, source: WeightSource
    ) -> "LoadingInfo":
        """RETURNS (LoadingInfo): Of a model of this class and config, and these weights. Nothing is read."""
        frame = frame_model(make, config)
        expected = {n: tuple(p.shape) for n, p in frame.named_parameters(remove_duplicate=False)}
        own = {name for name, _ in frame.named_parameters()}
        names = match_names(source.shapes, expected)
        found = {name: source.shapes[theirs] for name, theirs in names.items()}
        return cls(
            missing=[name for name in own if name not in found],
            unexpected=[theirs for name, theirs in names.items() if name not in expected],
            mismatched={n: (names[n], s, expected[n]) for n, s in found.items() if expected.get(n, s) != s},
        )

    def to_dict(self) -> dict[str, list[Any]]:
        """RETURNS (dict[str, list]): As Hugging Face returns it."""
        return {
            "missing_keys": sorted(self.missing),
            "unexpected_keys": sorted(self.unexpected),
            "mismatched_keys": sorted(self.mismatched),
            "error_msgs": [],
        }

    def patched(self, source: WeightSource, config: BloomConfig) -> WeightSource:
        """RETURNS (WeightSource): With random weights in place of those of other shapes; a warning names them."""
        if not self.mismatched:
            return source
        warnings.warn(
            f"{source} has weights of other shapes than the config says: {sorted(self.mismatched)}. They are random: "
            "train them before use.",
            BloomWarning,
            stacklevel=3,
        )
        drawn = {theirs: _draw(n, shape, config) for n, (theirs, _, shape) in self.mismatched.items()}
        tied = config.tie_word_embeddings and TIED_HEAD in self.mismatched
        if tied:
            del drawn[self.mismatched[TIED_HEAD][0]]
        return _Patched(source, drawn, left_out={self.mismatched[TIED_HEAD][0]} if tied else set())


class _Patched:
    """Weights of which some are replaced, and some left out."""

    def __init__(self, source: WeightSource, drawn: Mapping[str, Tensor], left_out: set[str]) -> None:
        self.source, self.drawn, self.left_out = source, drawn, left_out

    @property
    def shapes(self) -> dict[str, Shape]:
        kept = {name: shape for name, shape in self.source.shapes.items() if name not in self.left_out}
        return {**kept, **{name: tuple(value.shape) for name, value in self.drawn.items()}}

    def __getitem__(self, name: str) -> Tensor:
        return self._like_file(name) if name in self.drawn else self.source[name]

    def part(self, name: str, slices: tuple[slice, ...]) -> Tensor:
        return self._like_file(name)[slices] if name in self.drawn else self.source.part(name, slices)

    def _like_file(self, name: str) -> Tensor:
        return self.drawn[name].to(self.source[name].dtype)

    def __str__(self) -> str:
        return str(self.source)


def _draw(name: str, shape: Shape, config: BloomConfig) -> Tensor:
    """RETURNS (Tensor): A weight as a new model has it."""
    if len(shape) > 1:
        return torch.empty(shape).normal_(std=config.initializer_range)
    return torch.ones(shape) if name.endswith(("layernorm.weight", "ln_f.weight")) else torch.zeros(shape)
