"""What generation works on: rows that grow, and what may change their next piece's scores."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor


@dataclass
class Row:
    """A sequence that grows piece by piece.

    prompt (Sequence[int]): What was given, without padding. Shared between rows that continue the same prompt.
    generated (list[int]): What was added.
    """

    prompt: Sequence[int]
    generated: list[int] = field(default_factory=list)

    @property
    def pieces(self) -> list[int]:
        """RETURNS (list[int]): The prompt and what was added."""
        return [*self.prompt, *self.generated]


class LogitsProcessor(Protocol):
    """Changes the scores of the next piece. Keeps no state that depends on which row stands where: rows are
    dropped, reordered and copied between calls, and a row is known by its pieces only. Scores are tensors of
    inference mode: one that is kept for later use must be cloned outside of it.
    """

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """
        rows (Sequence[Row]): The rows so far.
        scores (Tensor): Logits or log-probabilities, float32; may be overwritten. Shape (rows, vocab_size).
        RETURNS (Tensor): The scores, -inf for pieces that must not follow. Shape (rows, vocab_size).
        """
        ...
