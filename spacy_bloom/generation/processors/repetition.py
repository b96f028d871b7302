"""What penalises, forbids and forces pieces.

Numbers are Hugging Face's. What it counts on the padded batch is counted on each row's own pieces here.
"""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from ...errors import InputError
from ..rows import Row

# Prompts of which something is remembered. Rows that continue one prompt share it.
MOST_PROMPTS = 1024

T = TypeVar("T")


class RepetitionPenalty:
    """Makes pieces that were there before, in the prompt too, less probable.

    penalty (float): Positive scores are divided by it, negative ones multiplied.
    SOURCE: https://arxiv.org/abs/1909.05858, section 4.1.
    """

    def __init__(self, penalty: float) -> None:
        self.penalty = penalty
        self._prompt = _OfPrompt(lambda prompt: np.unique(np.asarray(prompt, dtype=np.int64)))

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """See LogitsProcessor."""
        seen = [np.append(self._prompt(row), np.asarray(row.generated, dtype=np.int64)) for row in rows]
        places = _places(seen, scores.device)
        old = scores[places]  # (pieces seen,)
        scores[places] = torch.where(old < 0, old * self.penalty, old / self.penalty)
        return scores


class NoRepeatNGram:
    """Forbids pieces that would complete a sequence of pieces that was there before, in the prompt too.

    What followed what in a prompt is looked up in an index, made once; only what was generated is read again.

    size (int): Pieces of a sequence. With 1, no piece comes twice.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._prompt = _OfPrompt(self._index)

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """See LogitsProcessor."""
        return _forbid(scores, _places([self._banned(row) for row in rows], scores.device))

    def _banned(self, row: Row) -> list[int]:
        before = self.size - 1
        start = _tail(row, before)
        if len(start) < before:
            return []
        recent = _tail(row, before + len(row.generated))  # all sequences that end in generated pieces
        banned = [recent[i] for i in range(before, len(recent)) if recent[i - before : i] == start]
        return banned + self._prompt(row).get(tuple(start), [])

    def _index(self, prompt: Sequence[int]) -> dict[tuple[int, ...], list[int]]:
        """RETURNS (dict[tuple[int, ...], list[int]]): The pieces after each sequence of `size - 1` pieces."""
        pieces, before = [int(piece) for piece in prompt], self.size - 1
        index: dict[tuple[int, ...], list[int]] = {}
        for i in range(before, len(pieces)):
            index.setdefault(tuple(pieces[i - before : i]), []).append(pieces[i])
        return index


class BadWords:
    """Forbids the last piece of sequences whose other pieces are there.

    Hugging Face lets a word pass whose other pieces are the whole row; here it never is completed.

    words (Sequence[Sequence[int]]): The sequences.
    eos_token_ids (Sequence[int]): Ends; as words of one piece they stay allowed, as in Hugging Face.
    """

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
        return _forbid(scores, _places([self._banned(row) for row in rows], scores.device))

    def _banned(self, row: Row) -> list[int]:
        banned = list(self._always)
        for length in self._lengths:
            banned += self._after.get(tuple(_tail(row, length)), [])
        return banned


class MinLength:
    """Forbids the end while a row, prompt included, is too short.

    min_length (int): Least number of pieces before the end.
    eos_token_ids (Sequence[int]): The ends.
    """

    def __init__(self, min_length: int, eos_token_ids: Sequence[int]) -> None:
        self.min_length = min_length
        self.eos_token_ids = list(eos_token_ids)

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """See LogitsProcessor."""
        short = [len(row.prompt) + len(row.generated) < self.min_length for row in rows]
        ends = [self.eos_token_ids if is_short else [] for is_short in short]
        return _forbid(scores, _places(ends, scores.device))


class MinNewTokens:
    """Forbids the end while too few pieces were added.

    min_new_tokens (int): Least number of added pieces before the end.
    eos_token_ids (Sequence[int]): The ends.
    """

    def __init__(self, min_new_tokens: int, eos_token_ids: Sequence[int]) -> None:
        self.min_new_tokens = min_new_tokens
        self.eos_token_ids = list(eos_token_ids)

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """See LogitsProcessor."""
        short = [len(row.generated) < self.min_new_tokens for row in rows]
        ends = [self.eos_token_ids if is_short else [] for is_short in short]
        return _forbid(scores, _places(ends, scores.device))


class ForcedBos:
    """Makes a piece the first to be added. See GenerationConfig for where Hugging Face does.

    piece (int): Its id.
    """

    def __init__(self, piece: int) -> None:
        self.piece = piece

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """See LogitsProcessor."""
        return _force(scores, [not row.generated for row in rows], [self.piece])


class ForcedEos:
    """Makes one of some pieces the last that is added.

    limit (Callable[[int], int]): The pieces that may be added to a prompt of so many pieces.
    pieces (Sequence[int]): Their ids.
    """

    def __init__(self, limit: Callable[[int], int], pieces: Sequence[int]) -> None:
        self.limit = limit
        self.pieces = list(pieces)

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """See LogitsProcessor."""
        last = [len(row.generated) + 1 >= self.limit(len(row.prompt)) for row in rows]
        return _force(scores, last, self.pieces)


class AllowedVocabulary:
    """Forbids ids that are no pieces: BLOOM has 250,880 embedding rows for 250,680 pieces.

    size (int): The number of pieces; ids below it stay allowed.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """See LogitsProcessor."""
        scores[:, self.size :] = -torch.inf
        return scores


class SomePieceLeft:
    """Changes nothing, and refuses rows that no piece may follow: nothing can be chosen there, and what would be
    chosen is forbidden.

    RAISES (InputError): When called with such a row, or with scores that are NaN; names the first.
    """

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """See LogitsProcessor."""
        best = scores.amax(dim=-1)  # (rows,); NaN if one is
        for i in (~(best > -torch.inf)).nonzero()[:, 0].tolist():
            where = f"row {i} ({len(rows[i].prompt)} pieces and {len(rows[i].generated)} added)"
            if best[i].isnan():
                raise InputError(
                    f"Expected scores that are numbers, got NaN in {where}. The weights or a processor are broken."
                )
            raise InputError(
                f"Expected a piece that may follow in {where}, got none: all are forbidden. Loosen "
                "bad_words_ids, no_repeat_ngram_size, the minimum length or the constraint."
            )
        return scores


class _OfPrompt(Generic[T]):
    """Computes something of a row's prompt once, as it is the same at every step and for all rows that share it.

    Prompts are told apart by identity and must not change. They are kept here, so that no other object can have
    the identity of one that is gone.
    """

    def __init__(self, compute: Callable[[Sequence[int]], T]) -> None:
        self._compute = compute
        self._known: dict[int, tuple[Sequence[int], T]] = {}

    def __call__(self, row: Row) -> T:
        """RETURNS (T): What was computed of the row's prompt."""
        known = self._known.get(id(row.prompt))
        if known is None:
            if len(self._known) >= MOST_PROMPTS:
                del self._known[next(iter(self._known))]  # the oldest
            known = self._known[id(row.prompt)] = (row.prompt, self._compute(row.prompt))
        return known[1]


def _tail(row: Row, count: int) -> list[int]:
    """RETURNS (list[int]): The last pieces of a row, fewer if it has fewer; without reading the whole prompt."""
    missing = count - len(row.generated)
    if missing <= 0:
        return row.generated[-missing:]
    start = max(len(row.prompt) - missing, 0)
    return [*row.prompt[start:], *row.generated]


def _places(pieces: Sequence[Sequence[int] | np.ndarray], device: torch.device) -> tuple[Tensor, Tensor]:
    """Some pieces of each row as an index of (rows, vocab_size).

    pieces (Sequence[Sequence[int] | np.ndarray]): Those of each row.
    RETURNS (tuple[Tensor, Tensor]): Rows and columns. Shapes (pieces of all rows,).
    """
    columns = [np.asarray(part, dtype=np.int64) for part in pieces]
    rows = np.repeat(np.arange(len(columns)), [len(part) for part in columns])
    flat = np.concatenate([np.empty(0, dtype=np.int64), *columns])
    return torch.from_numpy(rows).to(device), torch.from_numpy(flat).to(device)


def _forbid(scores: Tensor, places: tuple[Tensor, Tensor]) -> Tensor:
    scores[places] = -torch.inf
    return scores


def _force(scores: Tensor, chosen: Sequence[bool], pieces: Sequence[int]) -> Tensor:
    """Leave nothing but some pieces, all of score 0, in the chosen rows."""
    rows = torch.tensor(chosen, device=scores.device).nonzero()  # (chosen rows, 1)
    scores[rows[:, 0]] = -torch.inf
    scores[rows, torch.tensor(pieces, device=scores.device)] = 0.0
    return scores
