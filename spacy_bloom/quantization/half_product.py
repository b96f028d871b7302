"""Products of float32 activations with weights that stay in 16 bits: exact up to float32's rounding.

torch multiplies equal dtypes only, so that it would round the activations too. FBGEMM's kernel widens the weights in
registers: it reads half as many bytes, which is what a step of generation waits for.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

# Elements of a weight that are in float32 at once: while it is packed, and in each product where there is no kernel.
PACKED_ELEMENTS, CHUNK_ELEMENTS = 2**24, 2**20
# Rows are packed with their largest number between 2**14 and 2**15: float16 then holds bfloat16's 8 bits of precision
# down to 2**-31 of it.
TOP = 15


@dataclass(frozen=True)
class PackedHalf:
    """A weight as the kernel reads it.

    parts (list[Any]): Runs of its rows, float16 in the kernel's own layout.
    scales (Tensor | None): Powers of two to multiply each feature by; None for 1. Shape (features,).
    """

    parts: list[Any]
    scales: Tensor | None


def pack_half(weight: Tensor) -> PackedHalf | None:
    """RETURNS (PackedHalf | None): A float16 or bfloat16 weight as `half_product` reads it; None where there is no
    kernel. Shape of the weight (features, columns).
    """
    if weight.device.type != "cpu" or not has_half_kernel():
        return None
    parts = weight.split(max(PACKED_ELEMENTS // max(weight.shape[1], 1), 1))
    if weight.dtype == torch.float16:
        return PackedHalf([_pack(part.float()) for part in parts], None)
    exponents = torch.frexp(weight.abs().amax(dim=1).float()).exponent - TOP  # (features,)
    pairs = zip(parts, exponents.split(len(parts[0])), strict=True)
    packed = [_pack(torch.ldexp(part.float(), -powers[:, None])) for part, powers in pairs]
    return PackedHalf(packed, torch.ldexp(torch.ones(len(weight)), exponents))


def _pack(weight: Tensor) -> Any:
    return torch.ops.quantized.linear_prepack_fp16(weight, None)


def half_product(inner: Tensor, weight: Tensor, packed: PackedHalf | None) -> Tensor:
    """`inner @ weight.T`, with all of the activations' precision.

    inner (Tensor): float32. Shape (rows, columns).
    weight (Tensor): float16 or bfloat16. Shape (features, columns).
    packed (PackedHalf | None): From `pack_half`.
    RETURNS (Tensor): float32. Shape (rows, features).
    """
    if packed is not None and len(inner):
        totals = [torch.ops.quantized.linear_dynamic_fp16(inner, part) for part in packed.parts]
        total = totals[0] if len(totals) == 1 else torch.cat(totals, dim=-1)
        return total if packed.scales is None else total.mul_(packed.scales)
    parts = weight.split(max(CHUNK_ELEMENTS // max(weight.shape[1], 1), 1))
    return torch.cat([F.linear(inner, part.float()) for part in parts], dim=-1)


@cache
def has_half_kernel() -> bool:
    """RETURNS (bool): Whether this build of torch has FBGEMM's product with float16 weights."""
    needed = ("linear_prepack_fp16", "linear_dynamic_fp16")
    has_engine = "fbgemm" in torch.backends.quantized.supported_engines
    return has_engine and all(hasattr(torch.ops.quantized, name) for name in needed)
