"""Which pieces there are at all, and that one is left."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...errors import InputError
from ..rows import Row


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
