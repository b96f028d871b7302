"""What generation works on: rows that grow, and what changes the scores of their next pieces."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor


@dataclass
class Row:
    """A sequence that grows piece by piece.

    prompt (Sequence[int]): What was given, without padding. Rows that continue the same prompt share it.
    generated (list[int]): What was added.
    number (int): Which of the prompts that are continued together it continues.
    """

    prompt: Sequence[int]
    generated: list[int] = field(default_factory=list)
    number: int = 0

    @property
    def pieces(self) -> list[int]:
        """RETURNS (list[int]): The prompt and what was added."""
        return [*self.prompt, *self.generated]


class LogitsProcessor(Protocol):
    """Changes the scores of the next piece. It keeps no state that depends on which row stands where: rows are
    dropped, reordered and copied between calls. Scores are tensors of inference mode: clone what is kept for later
    outside of it.

    One that does nothing but make scores -inf, whatever the scores are, may say so by an attribute
    `only_forbids = True`; then greedy decoding may call it with estimates, and again with the scores.
    """

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """
        rows (Sequence[Row]): The rows so far.
        scores (Tensor): Logits or log-probabilities, float32; may be overwritten. Shape (rows, vocab_size).
        RETURNS (Tensor): The scores, -inf for pieces that must not follow. Shape (rows, vocab_size).
        """
        ...
