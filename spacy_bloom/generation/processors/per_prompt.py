"""Prompts that are continued together, each under a constraint of its own."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..constraints.base import Constraint
from ..rows import Row

Ids = tuple[int, ...]


class PromptConstraints:
    """A LogitsProcessor that hands each row to the constraint of its prompt, and rows of one constraint together.

    constraints (Mapping[Ids, Constraint]): The constraint of each prompt.
    """

    def __init__(self, constraints: Mapping[Ids, Constraint]) -> None:
        self._constraints = constraints
        # Rows share their prompt's object, so that its pieces are read once. It is kept, as its id is only its own
        # as long as it lives.
        self._known: dict[int, tuple[Sequence[int], Constraint]] = {}

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """As `LogitsProcessor` says."""
        found = [self._of(row.prompt) for row in rows]
        if all(constraint is found[0] for constraint in found):
            return found[0](rows, scores)
        places: dict[int, list[int]] = {}
        for place, constraint in enumerate(found):
            places.setdefault(id(constraint), []).append(place)
        changed = torch.empty_like(scores)
        for some in places.values():
            index = torch.tensor(some, device=scores.device)
            changed[index] = found[some[0]]([rows[i] for i in some], scores[index])
        return changed

    def _of(self, prompt: Sequence[int]) -> Constraint:
        if id(prompt) not in self._known:
            self._known[id(prompt)] = prompt, self._constraints[tuple(prompt)]
        return self._known[id(prompt)][1]


def rounds(prompts: Sequence[Ids]) -> list[list[int]]:
    """Part equal prompts, which could not be told from each other together.

    RETURNS (list[list[int]]): Numbers of prompts; those of one round all differ.
    """
    seen: dict[Ids, int] = {}
    parted: list[list[int]] = []
    for number, prompt in enumerate(prompts):
        turn = seen.get(prompt, 0)
        seen[prompt] = turn + 1
        if turn == len(parted):
            parted.append([])
        parted[turn].append(number)
    return parted
