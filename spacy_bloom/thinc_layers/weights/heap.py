"""Memory that training has freed, given back to the system."""

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
    """Return what is free inside the heap.

    Batches of all sizes leave holes that nothing fits into again, and glibc returns only what is free at the end of
    its heap: training tiny-bloom on short texts took 1.1 GB after 30 steps, of which 0.6 GB were in use, and 6.7 GB
    after twenty minutes.
    """
    trim = _trim()
    if trim is not None:
        trim(0)
