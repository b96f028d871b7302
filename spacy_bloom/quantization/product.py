"""Products with int8 weights: exact in integers, each row of activations with a scale of its own.

One scale for a whole batch would let a row's result depend on its neighbours, and one row with large numbers would
take the precision of all others.
"""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

MAX_WEIGHT = 127
CHUNK_ROWS = 2**14  # of a weight that are in float32 at once
EXACT_COLUMNS = 1024  # 1,024 products of 127 * 127 add up to less than 2**24: float32 adds them exactly


@dataclass(frozen=True)
class ActivationRange:
    """Which integers stand for activations.

    limit (int): They are rounded to -limit ... limit.
    offset (int): What the kernel, which takes unsigned numbers, finds added to them.
    """

    limit: int
    offset: int


FULL = ActivationRange(127, 128)
# Without VNNI a CPU adds two products of 8 bits in a register of 16, which 2 * 255 * 127 overflows: it is cut off, in
# silence. 2 * 127 * 127 = 32,258 is not, so that activations of 7 bits are exact everywhere.
NARROW = ActivationRange(63, 64)


def quantize_rows(values: Tensor, limit: int = MAX_WEIGHT) -> tuple[Tensor, Tensor]:
    """Round each row to integers by its own largest number.

    values (Tensor): Shape (rows, columns).
    limit (int): Largest integer.
    RETURNS (tuple[Tensor, Tensor]): int8, and float32 to multiply each row by. Shapes (rows, columns) and (rows,).
    """
    found = []
    for part in values.split(CHUNK_ROWS):
        scales = _scales(part.float(), limit)  # (rows of the part, 1)
        found.append((torch.round(part / scales).to(torch.int8), scales.squeeze(-1)))
    integers, by_row = zip(*found, strict=True)
    return torch.cat(integers), torch.cat(by_row)


def pack(weight: Tensor) -> Tensor:
    """RETURNS (Tensor): An int8 matrix as `int8_product` reads it. Shape (features, columns) in both."""
    return torch.ops.onednn.qlinear_prepack(weight, None) if has_kernel() else weight


def int8_product(inner: Tensor, packed: Tensor, scales: Tensor, bias: Tensor | None) -> Tensor:
    """`inner @ weight.T + bias` with activations rounded row by row; everything else is exact up to float32.

    inner (Tensor): float32. Shape (rows, columns).
    packed (Tensor): From `pack`. Shape (features, columns).
    scales (Tensor): Of the weight's rows, float32. Shape (features,).
    bias (Tensor | None): Shape (features,).
    RETURNS (Tensor): float32. Shape (rows, features).
    """
    numbers = activation_range()
    row_scales = _scales(inner, numbers.limit)  # (rows, 1)
    # Conversion cuts decimals off: adding a half more than the offset rounds.
    shifted = (inner / row_scales).add_(numbers.offset + 0.5).to(torch.uint8)
    product = _kernel if has_kernel() else plain_product
    total = product(shifted, numbers.offset, packed, scales)  # (rows, features)
    return total.mul_(row_scales) if bias is None else torch.addcmul(bias, total, row_scales)


def plain_product(shifted: Tensor, offset: int, weight: Tensor, scales: Tensor) -> Tensor:
    """The kernel's numbers where there is none: sums of integers that float32 holds exactly.

    shifted (Tensor): uint8, activations plus offset. Shape (rows, columns).
    weight (Tensor): int8. Shape (features, columns).
    RETURNS (Tensor): float32. Shape (rows, features).
    """
    left = (shifted.float() - offset).split(EXACT_COLUMNS, dim=1)
    right = weight.split(EXACT_COLUMNS, dim=1)
    total = sum((a @ b.float().T).to(torch.int32) for a, b in zip(left, right, strict=True))
    assert isinstance(total, Tensor)
    return total.float() * scales


def _kernel(shifted: Tensor, offset: int, packed: Tensor, scales: Tensor) -> Tensor:
    no_zero_points = torch.zeros(1, dtype=torch.int32)
    output = (1.0, 0, torch.float32)  # neither scaled nor shifted
    return torch.ops.onednn.qlinear_pointwise(
        shifted, 1.0, offset, packed, scales, no_zero_points, None, *output, "none", [], ""
    )


def _scales(values: Tensor, limit: int) -> Tensor:
    """RETURNS (Tensor): What makes each row's largest number the limit; zeros stay zeros. Shape (rows, 1)."""
    largest = torch.linalg.vector_norm(values, torch.inf, dim=-1, keepdim=True)
    return (largest / limit).clamp_min_(torch.finfo(torch.float32).tiny)


@cache
def has_kernel() -> bool:
    """RETURNS (bool): Whether this build of torch multiplies 8-bit integers; ARM's does not."""
    return hasattr(torch.ops.onednn, "qlinear_pointwise") and hasattr(torch.ops.onednn, "qlinear_prepack")


@cache
def activation_range() -> ActivationRange:
    """RETURNS (ActivationRange): All of 8 bits where this machine adds their products exactly, else 7.

    It is tried out rather than asked for: what a CPU has and what the library below makes of it are two things.
    """
    if not has_kernel():
        return FULL
    weight = torch.full((16, 64), MAX_WEIGHT, dtype=torch.int8)
    largest = torch.full((2, 64), 2 * MAX_WEIGHT + 1, dtype=torch.uint8)
    ones = torch.ones(16)
    for rows in (largest[:1], largest):
        exact = plain_product(rows, FULL.offset, weight, ones)
        if not torch.equal(_kernel(rows, FULL.offset, pack(weight), ones), exact):
            return NARROW
    return FULL
