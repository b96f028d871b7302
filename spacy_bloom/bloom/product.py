"""Products of few rows with a large matrix, exact in float32.

A step of generation multiplies one row for each text. The matrix is then read from memory once, and torch's own way
reads it slowly: with one row on one thread only, with two to some dozens copied into another layout first.
"""

import platform
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

# By instructions: the least elements of a matrix, and the least rows. Measured with bloom-560m's matrices, for AMD's
# AVX-512 also with those of 512 x 512. Smaller ones stay in a core's cache, where torch is best; with Intel's AVX-512
# torch is best for up to three rows too, whatever the matrix.
LIMITS = {"AVX2": (2**20, 1), "AVX512": (3 * 2**20, 4), "AVX512 of AMD": (2**18, 1)}
MAX_ROWS = 96
# The library behind `@` is the fastest for some numbers of rows: with AVX2 for one and two, with the matrix as a batch
# of slices, which its threads share (a slice of an LM head would be too large with fewer); for others with the matrix
# on the left. With AMD's AVX-512 that reads 32 GB/s for two rows, torch's own way 8.
MAX_SLICED_ROWS = {"AVX2": 2}
ON_THE_LEFT = {"AVX2": (4,), "AVX512 of AMD": (2, 3)}
SLICES, SLICES_OF_A_HEAD, HEAD_FEATURES = 128, 512, 2**15


def product(inner: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear(inner, weight, bias)` by the way that is fastest for its shape. All ways differ by rounding alone.

    The choice depends on rows, shape and dtype, and on nothing that is measured: equal inputs give equal bits.

    inner (Tensor): Shape (*leading, columns).
    weight (Tensor): Shape (features, columns).
    bias (Tensor | None): Shape (features,).
    RETURNS (Tensor): Shape (*leading, features).
    """
    if not takes_few_rows(inner, weight):
        return F.linear(inner, weight, bias)
    rows = inner.reshape(-1, inner.shape[-1])
    n, features = len(rows), weight.shape[0]
    kind = instructions() if torch.backends.mkl.is_available() else ""
    n_slices = SLICES if features < HEAD_FEATURES else SLICES_OF_A_HEAD
    if n <= MAX_SLICED_ROWS.get(kind, 0) and features % n_slices == 0:
        # Of shape (slices, columns, features of a slice).
        slices = weight.view(n_slices, features // n_slices, -1).transpose(1, 2)
        total = torch.bmm(rows.expand(n_slices, -1, -1), slices).transpose(0, 1).reshape(n, features)
    elif n in ON_THE_LEFT.get(kind, ()):
        total = (weight @ rows.T).T.contiguous()
    else:
        total = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
        bias = None
    if bias is not None:
        total.add_(bias)
    return total.view(*inner.shape[:-1], features)


def takes_few_rows(inner: Tensor, weight: Tensor) -> bool:
    """RETURNS (bool): Whether there is a faster way than torch's own: few rows, a large matrix, float32 on an x86 CPU,
    and no gradients.
    """
    n_rows = inner.numel() // max(inner.shape[-1], 1)
    if n_rows > MAX_ROWS or torch.is_grad_enabled() or not has_few_row_kernel():
        return False
    min_elements, min_rows = LIMITS[instructions()]
    if n_rows < min_rows or weight.numel() < min_elements:
        return False
    exact = inner.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    return exact and weight.device.type == "cpu" and weight.is_contiguous()


@cache
def has_few_row_kernel() -> bool:
    """RETURNS (bool): Whether this build of torch has oneDNN's product, on a CPU where it was measured."""
    built = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return built and instructions() in LIMITS


@cache
def instructions() -> str:
    """RETURNS (str): What torch computes with on this CPU: a name in LIMITS, or another one."""
    found = torch.backends.cpu.get_cpu_capability()
    return f"{found} of AMD" if found == "AVX512" and is_amd() else found


def is_amd() -> bool:
    """RETURNS (bool): Whether this is known to be a CPU of AMD's, for which MKL has other ways than for Intel's."""
    try:
        with open("/proc/cpuinfo", encoding="utf8") as file:
            return "AuthenticAMD" in file.read(4096)
    except OSError:  # not on Linux
        return "AuthenticAMD" in platform.processor()
