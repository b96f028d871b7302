"""What multiplies integers of 8 bits: one of two kernels of torch, or plain sums. All give the same numbers.

Which is best depends on the CPU. With VNNI instructions both take all 8 bits of an activation; without them both are
exact for 7 bits only. Without them, and on AMD's processors with them, FBGEMM's is up to three times as fast for few
rows; on Intel's with them oneDNN's is.
"""

import warnings
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Protocol

import torch
from torch import Tensor

from ..bloom.product import is_amd

MAX_WEIGHT = 127
# Up to this many rows oneDNN's plain product is faster than the one of packed weights, which it does not need: with
# AVX-512 and AMX, a step of generation of one row takes 0.86 of the time, of eight rows 0.95.
FEW_ROWS = 16
EXACT_COLUMNS = 1024  # 1,024 products of 127 * 127 add up to less than 2**24: float32 adds them exactly


@dataclass(frozen=True)
class ActivationRange:
    """Which integers stand for activations.

    limit (int): They are rounded to -limit ... limit.
    offset (int): What kernels, which take unsigned numbers, add to them.
    """

    limit: int
    offset: int


FULL = ActivationRange(127, 128)
# Without VNNI a CPU adds two products of 8 bits in a register of 16, which 2 * 255 * 127 overflows: it is cut off, in
# silence. 2 * 127 * 127 = 32,258 is not, so that activations of 7 bits are exact everywhere.
NARROW = ActivationRange(63, 64)


class Kernel(Protocol):
    """Multiplies activations, given in units of their integers and not yet rounded, with a packed weight."""

    def pack(self, weight: Tensor, scales: Tensor) -> Any:
        """
        weight (Tensor): int8. Shape (features, columns).
        scales (Tensor): Of its rows, float32. Shape (features,).
        RETURNS (Any): The weight as the kernel reads it, to be kept beside the weight.
        """

    def multiply(self, inner: Tensor, numbers: ActivationRange, packed: Any, scales: Tensor) -> Tensor:
        """
        inner (Tensor): float32, from -limit to limit. Shape (rows, columns).
        RETURNS (Tensor): `round(inner) @ weight.T * scales`, float32. Shape (rows, features).
        """
        ...


class PlainSums:
    """Sums of integers that float32 holds exactly, where there is no kernel."""

    def pack(self, weight: Tensor, scales: Tensor) -> Any:
        """See Kernel."""
        return weight

    def multiply(self, inner: Tensor, numbers: ActivationRange, packed: Any, scales: Tensor) -> Tensor:
        """See Kernel."""
        left = inner.round().split(EXACT_COLUMNS, dim=1)
        right = packed.split(EXACT_COLUMNS, dim=1)
        total = sum((a @ b.float().T).to(torch.int32) for a, b in zip(left, right, strict=True))
        assert isinstance(total, Tensor)
        return total.float() * scales


class _OneDnnWeight:
    """A weight for products of few rows, and as oneDNN arranges it for more: only once there are more."""

    def __init__(self, plain: Tensor) -> None:
        self.plain = plain

    @cached_property
    def prepacked(self) -> Tensor:
        """RETURNS (Tensor): The weight in oneDNN's own layout."""
        return torch.ops.onednn.qlinear_prepack(self.plain, None)


class OneDnn:
    """torch's kernels on plain integers."""

    @staticmethod
    def is_built() -> bool:
        """RETURNS (bool): Whether this build of torch has them; ARM's does not."""
        return hasattr(torch.ops.onednn, "qlinear_pointwise") and hasattr(torch.ops.onednn, "qlinear_prepack")

    def pack(self, weight: Tensor, scales: Tensor) -> Any:
        """See Kernel."""
        return _OneDnnWeight(weight)

    def multiply(self, inner: Tensor, numbers: ActivationRange, packed: Any, scales: Tensor) -> Tensor:
        """See Kernel."""
        rounded = inner.round()
        if 1 <= len(inner) <= FEW_ROWS and numbers == FULL:
            # What it makes of signed numbers without VNNI would overflow with 7 bits too.
            total = torch._int_mm(packed.plain, rounded.to(torch.int8).T)  # (features, rows)
            return total.T.contiguous() * scales
        prepacked, shifted = packed.prepacked, rounded.add_(numbers.offset).to(torch.uint8)
        no_zero_points = torch.zeros(1, dtype=torch.int32)
        output = (1.0, 0, torch.float32)  # neither scaled nor shifted
        return torch.ops.onednn.qlinear_pointwise(
            shifted, 1.0, numbers.offset, prepacked, scales, no_zero_points, None, *output, "none", [], ""
        )


class Fbgemm:
    """torch's kernel behind its quantised tensors. Those are deprecated: when they go, oneDNN's takes its place."""

    @staticmethod
    def is_built() -> bool:
        """RETURNS (bool): Whether this build of torch has it."""
        needed = ("linear_prepack", "linear_with_input_q_dq_qweight_dq_output_fp32")
        engines = torch.backends.quantized.supported_engines
        has_tensors = hasattr(torch, "_make_per_channel_quantized_tensor")
        return "fbgemm" in engines and has_tensors and all(hasattr(torch.ops.quantized, op) for op in needed)

    def pack(self, weight: Tensor, scales: Tensor) -> Any:
        """See Kernel."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*quantized tensor creation.*", category=UserWarning)
            quantized = torch._make_per_channel_quantized_tensor(
                weight, scales, torch.zeros_like(scales, dtype=torch.int64), 0
            )
        return torch.ops.quantized.linear_prepack(quantized, None)

    def multiply(self, inner: Tensor, numbers: ActivationRange, packed: Any, scales: Tensor) -> Tensor:
        """See Kernel."""
        # Rounded here: some versions add the offset first, which turns numbers next to a half into one.
        return torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(
            inner.round(), 1.0, numbers.offset, packed
        )


@cache
def find_kernel(device: str) -> Kernel:
    """RETURNS (Kernel): The one for this machine, by the type of the device that holds the weight."""
    if device != "cpu":
        return PlainSums()
    if Fbgemm.is_built() and (activation_range() == NARROW or (is_amd() and _is_exact(Fbgemm()))):
        return Fbgemm()
    return OneDnn() if OneDnn.is_built() else PlainSums()


@cache
def activation_range() -> ActivationRange:
    """RETURNS (ActivationRange): All of 8 bits where this machine adds their products exactly, else 7.

    It is tried out rather than asked for: what a CPU has and what the library below makes of it are two things.
    """
    return FULL if not OneDnn.is_built() or _is_exact(OneDnn()) else NARROW


def _is_exact(kernel: Kernel) -> bool:
    """RETURNS (bool): Whether a kernel adds the largest products of 8 bits exactly, for any number of rows."""
    weight, ones = torch.full((16, 64), MAX_WEIGHT, dtype=torch.int8), torch.ones(16)
    packed = kernel.pack(weight, ones)
    largest = torch.full((FEW_ROWS + 1, 64), float(FULL.limit))
    return all(
        torch.equal(kernel.multiply(rows, FULL, packed, ones), PlainSums().multiply(rows, FULL, weight, ones))
        for rows in (largest[:1], largest[:2], largest)
    )
