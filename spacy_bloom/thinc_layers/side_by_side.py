"""Packed batches next to each other, each on its share of the cores.

One batch after the other on all cores leaves cores waiting: for each other at the end of every operation, and in
all operations that run on one. Batches are independent, so that each can run on a core of its own.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

# Pieces that are worth a core of their own: matrix products of fewer rows are slower.
LEAST_PIECES = 512

Item = TypeVar("Item")
Result = TypeVar("Result")


def count_workers(n_pieces: int, max_pieces: int, device: torch.device) -> int:
    """
    n_pieces (int): Of all batches.
    max_pieces (int): That may be under way at once.
    RETURNS (int): How many batches to run next to each other; 1 on a GPU, which is busy with one.
    """
    if device.type != "cpu":
        return 1
    return max(1, min(torch.get_num_threads(), min(n_pieces, max_pieces) // LEAST_PIECES))


def run_side_by_side(function: Callable[[Item], Result], items: Sequence[Item], workers: int) -> list[Result]:
    """Call a function with each item.

    workers (int): Calls at once, each with its share of torch's threads.
    RETURNS (list[Result]): In the order of the items.
    """
    if workers < 2:
        return [function(item) for item in items]
    with _threads(max(1, torch.get_num_threads() // workers)), ThreadPoolExecutor(workers) as pool:
        return list(pool.map(function, items))


@contextmanager
def _threads(n: int) -> Iterator[None]:
    """Let torch use n threads in each thread that is started inside."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
