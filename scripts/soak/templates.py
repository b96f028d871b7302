"""Templates and constraints that reach for more than they are given: an error within two seconds and 200 MB."""

from collections.abc import Iterator

from .figures import Budget, Figure
from .fuzzing.expressions import KINDS
from .fuzzing.shares import fuzz_all


def soak(budget: Budget) -> Iterator[Figure]:
    """YIELDS (Figure): Of chat templates, prompt templates, regular expressions and JSON schemas."""
    yield from fuzz_all([kind() for kind in KINDS], budget)
