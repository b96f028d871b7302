"""Returning memory that training has freed to the system."""

import ctypes
import sys
from functools import cache
from typing import Any


@cache
def _trim() -> Any:
    """RETURNS (Callable | None): glibc's malloc_trim; None where there is another C library."""
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)


def give_back_free_memory() -> None:
    """Return memory that is free inside the heap.

    Batches of different sizes leave holes that nothing fits into again, and glibc only returns what is free at the end
    of its heap. Without this, training tiny-bloom on short texts took 1.1 GB after 30 steps, of which 0.6 GB were in
    use, and 6.7 GB after twenty minutes.
    """
    trim = _trim()
    if trim is not None:
        trim(0)
