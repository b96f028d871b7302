"""What training will cost on this machine's CPU: an estimate, before anything is loaded."""

import time
from dataclasses import dataclass
from typing import Callable

import numpy
import torch

# Pieces of a word, between English and scripts that BLOOM knows less well.
PIECES_PER_WORD = 1.5
# Operations for a parameter and a piece: a product forward and two backward, each a multiplication and an addition.
FORWARD, BACKWARD = 2, 4
# Copies of a parameter in float32: itself, its gradient, Adam's two moments; and the bytes that a step of Adam moves.
COPIES, FLOAT = 4, 4
ADAM_BYTES = 28
# Numbers that a block keeps for the backward pass, for a piece and a hidden unit.
KEPT = 16


@dataclass(frozen=True)
class Rates:
    """Speed of a machine.

    operations (float): Floating point operations per second, in products of matrices.
    n_bytes (float): Bytes per second that large arrays are read and written with.
    """

    operations: float
    n_bytes: float


@dataclass(frozen=True)
class Cost:
    """Cost of training.

    step, total (float): Seconds of a step and of all steps.
    memory (float): Bytes at the peak, without what the process has anyway.
    """

    step: float
    total: float
    memory: float


def estimate(
    rates: Rates,
    *,
    parameters: int,
    in_blocks: int,
    hidden_size: int,
    n_layer: int,
    words: int,
    steps: int,
    parts: int = 1,
    frozen: bool = False,
) -> Cost:
    """Estimate the cost of BLOOM in training; heads are small beside it.

    rates (Rates): Speed of the machine.
    parameters, in_blocks (int): All parameters, and those that multiply each piece.
    hidden_size, n_layer (int): The geometry.
    words (int): Words in a batch.
    steps (int): Number of steps.
    parts (int): Parts that a batch is read in, one after the other.
    frozen (bool): BLOOM does not learn.
    RETURNS (Cost): The estimate.
    """
    pieces = words * PIECES_PER_WORD
    operations = pieces * in_blocks * (FORWARD if frozen else FORWARD + BACKWARD)
    moved = 0 if frozen else parameters * ADAM_BYTES
    step = operations / rates.operations + moved / rates.n_bytes
    kept = hidden_size * (pieces / parts) * FLOAT * (1 if frozen else n_layer * KEPT)
    memory = parameters * FLOAT * (1 if frozen else COPIES) + kept
    return Cost(step, step * steps, memory)


def measure_rates(size: int = 1024, repeats: int = 3) -> Rates:
    """RETURNS (Rates): The speed of this machine with torch's threads, the best of some short trials."""
    one, other = torch.randn(size, size), torch.randn(size, size)
    row = numpy.zeros(8 * size * size, dtype="float32")
    product = _best(lambda: torch.mm(one, other), repeats)
    added = _best(lambda: numpy.add(row, 1.0, out=row), repeats)
    return Rates(2 * size**3 / product, 2 * row.nbytes / added)


def _best(run: Callable[[], object], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return max(min(seconds), 1e-9)


def format_seconds(seconds: float) -> str:
    """RETURNS (str): A duration for reading."""
    for limit, size, unit in ((90, 1, "s"), (90 * 60, 60, "min"), (48 * 3600, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.2g} {unit}" if seconds / size < 10 else f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86400:.1f} days"
