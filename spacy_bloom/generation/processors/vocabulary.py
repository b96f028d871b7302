"""Ids that are no pieces, and rows without an allowed piece."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...errors import InputError
from ..rows import Row


class AllowedVocabulary:
    """Forbids ids that are no pieces: BLOOM has 250,880 embedding rows for 250,680 pieces.

    size (int): Number of pieces; ids below it stay allowed.
    """

    only_forbids = True

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """See LogitsProcessor."""
        scores[:, self.size :] = -torch.inf
        return scores


class ValidNumbers:
    """Replaces NaN by 0, and infinities by the largest numbers, so that a broken model goes on."""

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """See LogitsProcessor."""
        return scores.nan_to_num_(nan=0.0)


class Normalized:
    """Makes log-probabilities of scores."""

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """See LogitsProcessor."""
        return scores.log_softmax(dim=-1)


class SomePieceLeft:
    """Changes nothing, but raises an error for a row that no piece may follow, where a forbidden one would be chosen.

    RAISES (InputError): When called with such a row, or with NaN scores; names the first row.
    """

    only_forbids = True

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
