"""Modules that become ones of another kind in their place, with the weights that they have and the names of these."""

from functools import cache
from typing import Any

from torch import nn


def become(module: Any, kind: type[nn.Module]) -> None:
    """Make a module one of a kind that has the same weights."""
    module.__class__ = kind


def become_also(module: Any, kind: type[nn.Module]) -> None:
    """Make a module one of a further kind, beside what it is. Its class keeps its name, which is written into files."""
    become(module, _both(kind, type(module)))  # type: ignore[arg-type]


@cache
def _both(kind: type[nn.Module], cls: type[nn.Module]) -> type[nn.Module]:
    return type(cls.__name__, (kind, cls), {"__doc__": cls.__doc__, "__module__": cls.__module__})
