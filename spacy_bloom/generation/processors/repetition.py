"""Pieces and sequences of pieces that should not be repeated, or not occur at all.

Numerically as in Hugging Face, but each row's own pieces are counted, not the padded batch.
"""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..rows import Row
from .places import forbid, places

T = TypeVar("T")


class RepetitionPenalty:
    """Makes pieces that occurred before, prompt included, less probable.

    penalty (float): Divides positive scores and multiplies negative ones.
    SOURCE: https://arxiv.org/abs/1909.05858, section 4.1.
    """

    def __init__(self, penalty: float) -> None:
        self.penalty = penalty
        self._prompt = PromptMemo(lambda prompt: np.unique(np.asarray(prompt, dtype=np.int64)))

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """See LogitsProcessor."""
        seen = [np.append(self._prompt(row), np.asarray(row.generated, dtype=np.int64)) for row in rows]
        seen_at = places(seen, scores.device)
        old = scores[seen_at]  # (pieces seen,)
        scores[seen_at] = torch.where(old < 0, old * self.penalty, old / self.penalty)
        return scores


class NoRepeatNGram:
    """Forbids pieces that would complete a sequence of pieces that occurred before, prompt included.

    A prompt is indexed once; only generated pieces are read again.

    size (int): Number of pieces in a sequence. With 1, no piece is repeated.
    """

    only_forbids = True

    def __init__(self, size: int) -> None:
        self.size = size
        self._prompt = PromptMemo(lambda prompt: index_ngrams(prompt, size))

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """See LogitsProcessor."""
        return forbid(scores, [self._banned(row) for row in rows])

    def _banned(self, row: Row) -> list[int]:
        before = self.size - 1
        start = tail(row, before)
        if len(start) < before:
            return []
        recent = tail(row, before + len(row.generated))  # all sequences that end in generated pieces
        banned = [recent[i] for i in range(before, len(recent)) if recent[i - before : i] == start]
        return banned + self._prompt(row).get(tuple(start), [])


class BadWords:
    """Forbids the last piece of sequences whose other pieces are there.

    Unlike in Hugging Face, this includes sequences whose other pieces are the whole row.

    words (Sequence[Sequence[int]]): The sequences.
    eos_token_ids (Sequence[int]): Ends stay allowed as words of one piece, as in Hugging Face.
    """

    only_forbids = True

    def __init__(self, words: Sequence[Sequence[int]], eos_token_ids: Sequence[int] = ()) -> None:
        distinct = dict.fromkeys(tuple(word) for word in words)
        self._always = [word[0] for word in distinct if len(word) == 1 and word[0] not in eos_token_ids]
        self._after: dict[tuple[int, ...], list[int]] = {}
        for word in distinct:
            if len(word) > 1:
                self._after.setdefault(word[:-1], []).append(word[-1])
        self._lengths = sorted({len(start) for start in self._after})

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """See LogitsProcessor."""
        return forbid(scores, [self._banned(row) for row in rows])

    def _banned(self, row: Row) -> list[int]:
        banned = list(self._always)
        for length in self._lengths:
            banned += self._after.get(tuple(tail(row, length)), [])
        return banned


class PromptMemo(Generic[T]):
    """Computes something of a row's prompt once: it is the same at every step, and for all rows that continue it.

    compute (Callable[[Sequence[int]], T]): What is computed.
    """

    def __init__(self, compute: Callable[[Sequence[int]], T]) -> None:
        self._compute = compute
        self._known: dict[int, tuple[Sequence[int], T]] = {}

    def __call__(self, row: Row) -> T:
        """RETURNS (T): What was computed of the row's prompt."""
        known = self._known.get(row.number)
        if known is None or known[0] is not row.prompt:  # prompts of another run have the same numbers
            known = self._known[row.number] = row.prompt, self._compute(row.prompt)
        return known[1]


def index_ngrams(prompt: Sequence[int], size: int) -> dict[tuple[int, ...], list[int]]:
    """RETURNS (dict[tuple[int, ...], list[int]]): The pieces after each sequence of `size - 1` pieces."""
    pieces, before = [int(piece) for piece in prompt], size - 1
    index: dict[tuple[int, ...], list[int]] = {}
    for i in range(before, len(pieces)):
        index.setdefault(tuple(pieces[i - before : i]), []).append(pieces[i])
    return index


def tail(row: Row, count: int) -> list[int]:
    """RETURNS (list[int]): The last pieces of a row, or all if it is shorter. Does not read the whole prompt."""
    missing = count - len(row.generated)
    if missing <= 0:
        return row.generated[-missing:]
    start = max(len(row.prompt) - missing, 0)
    return [*row.prompt[start:], *row.generated]
