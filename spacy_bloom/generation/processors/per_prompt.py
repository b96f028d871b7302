"""Prompts that are continued together, each with a processor of its own."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..rows import LogitsProcessor, Row


class PerPrompt:
    """Hands each row to the processor of its prompt, and the rows of one processor to it together.

    processors (Sequence[LogitsProcessor]): One for each prompt. Prompts may share one.
    """

    def __init__(self, processors: Sequence[LogitsProcessor]) -> None:
        self._processors = processors

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """See LogitsProcessor."""
        places: dict[LogitsProcessor, list[int]] = {}
        for place, row in enumerate(rows):
            places.setdefault(self._processors[row.number], []).append(place)
        if len(places) == 1:
            (processor,) = places
            return processor(rows, scores)
        changed = torch.empty_like(scores)
        for processor, some in places.items():
            index = torch.tensor(some, device=scores.device)
            changed[index] = processor([rows[i] for i in some], scores[index])
        return changed
