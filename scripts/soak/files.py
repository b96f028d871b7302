"""Every file that is read, mutated: our error or a right result, in time and memory, in its folder, no code."""

from collections.abc import Iterator

from .figures import Budget, Figure
from .fuzzing import checkpoints, corpora, pipelines, settings
from .fuzzing.shares import fuzz_all

KINDS = (*checkpoints.KINDS, *settings.KINDS, *corpora.KINDS, *pipelines.KINDS)


def soak(budget: Budget) -> Iterator[Figure]:
    """YIELDS (Figure): Of each kind of file."""
    yield from fuzz_all([kind() for kind in KINDS], budget)
