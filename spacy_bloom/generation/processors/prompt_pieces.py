"""Pieces of the prompt that should be taken up, or not be copied.

Hugging Face names these after encoders; for models like BLOOM the prompt takes their place.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..rows import Row
from .places import forbid, places
from .repetition import PromptMemo, index_ngrams, tail


class PromptBonus:
    """Makes pieces of the prompt more probable.

    penalty (float): Multiplies positive scores and divides negative ones.
    """

    def __init__(self, penalty: float) -> None:
        self.penalty = 1 / penalty  # as a penalty
        self._prompt = PromptMemo(lambda prompt: np.unique(np.asarray(prompt, dtype=np.int64)))

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """See LogitsProcessor."""
        seen_at = places([self._prompt(row) for row in rows], scores.device)
        old = scores[seen_at]  # (pieces of prompts,)
        scores[seen_at] = torch.where(old < 0, old * self.penalty, old / self.penalty)
        return scores


class NoPromptNGram:
    """Forbids pieces that would complete a sequence of pieces of the prompt.

    size (int): Number of pieces in a sequence.
    """

    only_forbids = True

    def __init__(self, size: int) -> None:
        self.size = size
        self._prompt = PromptMemo(lambda prompt: index_ngrams(prompt, size))

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """See LogitsProcessor."""
        return forbid(scores, [self._prompt(row).get(tuple(tail(row, self.size - 1)), []) for row in rows])
