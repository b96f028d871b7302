"""A budget shared out among kinds of inputs."""

import os
from collections.abc import Iterator, Sequence

import torch

from ..figures import Budget, Figure
from .watched import Kind, fuzz

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_OFFLINE"] = "1"


def fuzz_all(kinds: Sequence[Kind], budget: Budget) -> Iterator[Figure]:
    """kinds (Sequence[Kind]): By their weights; the time that one leaves over is for those after it. The variable
        SOAK_KIND chooses those whose name has it in it, to look into one.
    YIELDS (Figure): Of each.
    """
    torch.set_num_threads(1)
    left = [kind for kind in kinds if os.environ.get("SOAK_KIND", "") in kind.name]
    total = sum(kind.weight for kind in left)
    while left:
        share = left[0].weight / sum(kind.weight for kind in left)
        kind = left.pop(0)
        yield fuzz(kind, budget.part(budget.inputs * kind.weight / total, budget.left * share))
