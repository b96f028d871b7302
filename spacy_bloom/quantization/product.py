"""Products with int8 weights: exact in integers, each row of activations with a scale of its own.

One scale for a whole batch would let a row's result depend on its neighbours, and one row with large numbers would
take the precision of all others.
"""

from typing import Any

import torch
from torch import Tensor

from .kernels import MAX_WEIGHT, activation_range, find_kernel

CHUNK_ROWS = 2**14  # of a weight that are in float32 at once


def quantize_rows(values: Tensor, limit: int = MAX_WEIGHT) -> tuple[Tensor, Tensor]:
    """Round each row to integers by its own largest number.

    values (Tensor): Shape (rows, columns).
    limit (int): Largest integer.
    RETURNS (tuple[Tensor, Tensor]): int8, and float32 to multiply each row by. Shapes (rows, columns) and (rows,).
    """
    found = []
    for part in values.split(CHUNK_ROWS):
        scales = scales_of(largest_of(part.float()), limit)  # (rows of the part, 1)
        found.append((torch.round(part / scales).to(torch.int8), scales.squeeze(-1)))
    integers, by_row = zip(*found, strict=True)
    return torch.cat(integers), torch.cat(by_row)


def pack(weight: Tensor, scales: Tensor) -> Any:
    """RETURNS (Any): An int8 matrix and the scales of its rows as `int8_product` reads them.

    weight (Tensor): Shape (features, columns).
    scales (Tensor): float32. Shape (features,).
    """
    return find_kernel(weight.device.type).pack(weight, scales)


def int8_product(inner: Tensor, packed: Any, scales: Tensor, bias: Tensor | None) -> Tensor:
    """`inner @ weight.T + bias` with activations rounded row by row; everything else is exact up to float32.

    inner (Tensor): float32. Shape (rows, columns).
    packed (Any): From `pack`.
    scales (Tensor): Of the weight's rows, float32. Shape (features,).
    bias (Tensor | None): Shape (features,).
    RETURNS (Tensor): float32. Shape (rows, features).
    """
    total, row_scales = rounded_product(inner, largest_of(inner), packed, scales)
    if bias is None:
        return total.mul_(row_scales)
    return torch.addcmul(bias, total, row_scales, out=total)


def rounded_product(inner: Tensor, largest: Tensor, packed: Any, scales: Tensor) -> tuple[Tensor, Tensor]:
    """The product before rows are brought back to their size. Of columns that are divided, rows have one size together.

    inner (Tensor): float32. Shape (rows, columns).
    largest (Tensor): What the largest integer stands for in each row; overwritten. Shape (rows, 1).
    packed (Any): From `pack`.
    scales (Tensor): Of the weight's rows, float32. Shape (features,).
    RETURNS (tuple[Tensor, Tensor]): The product of integers times scales; what to multiply its rows by. float32.
        Shapes (rows, features) and (rows, 1).
    """
    numbers = activation_range()
    row_scales = scales_of(largest, numbers.limit)
    kernel = find_kernel(inner.device.type)
    return kernel.multiply(inner / row_scales, numbers, packed, scales), row_scales


def largest_of(values: Tensor) -> Tensor:
    """RETURNS (Tensor): The largest absolute number of each row. Shape (rows, 1)."""
    # Not a norm of infinite order: that takes ten times as long.
    return values.abs().amax(dim=-1, keepdim=True)


def scales_of(largest: Tensor, limit: int) -> Tensor:
    """RETURNS (Tensor): What makes each row's largest number the limit; zeros stay zeros. Shape (rows, 1)."""
    return largest.div_(limit).clamp_min_(torch.finfo(torch.float32).tiny)
