"""Pieces that are more or less likely than the model says, or never generated."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..rows import Row
from .places import forbid
from .repetition import tail


class SequenceBias:
    """Adds to the score of the last piece of sequences whose other pieces are there.

    biases (Mapping[Sequence[int], float] | Sequence): By sequence, or as pairs of a sequence and its bias.
    """

    def __init__(self, biases: Any) -> None:
        pairs = biases.items() if isinstance(biases, Mapping) else biases
        self._biases = {tuple(pieces): float(bias) for pieces, bias in pairs}

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """See LogitsProcessor."""
        added = torch.zeros_like(scores)
        for pieces, bias in self._biases.items():
            start = list(pieces[:-1])
            there = [i for i, row in enumerate(rows) if not start or tail(row, len(start)) == start]
            added[there, pieces[-1]] += bias
        return scores.add_(added)


class Suppress:
    """Forbids pieces.

    pieces (Sequence[int]): Their ids.
    first_only (bool): Only as the first piece that is added.
    """

    only_forbids = True

    def __init__(self, pieces: Sequence[int], *, first_only: bool = False) -> None:
        self.pieces = list(pieces)
        self.first_only = first_only

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """See LogitsProcessor."""
        pieces = [
            piece for piece in self.pieces if piece < scores.shape[-1]
        ]  # others cannot be generated anyway
        return forbid(scores, [[] if self.first_only and row.generated else pieces for row in rows])


class ExponentialDecay:
    """Makes the ends more and more likely.

    start (int): Number of added pieces from which on they are.
    factor (float): For each piece after that, the magnitude of an end's score grows by this factor.
    eos_token_ids (Sequence[int]): The ends.
    """

    def __init__(self, start: int, factor: float, eos_token_ids: Sequence[int]) -> None:
        self.start, self.factor = start, factor
        self.eos_token_ids = list(eos_token_ids)

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """See LogitsProcessor."""
        for i, row in enumerate(rows):
            late = len(row.generated) - self.start
            if late > 0:
                old = scores[i, self.eos_token_ids]
                scores[i, self.eos_token_ids] = old + old.abs() * (self.factor**late - 1)
        return scores


def biased_pieces(biases: Any) -> list[Sequence[int]]:
    """RETURNS (list[Sequence[int]]): The sequences of pieces that have a bias, in either form."""
    return list(biases or ()) if isinstance(biases, Mapping) else [pieces for pieces, _ in biases or ()]
