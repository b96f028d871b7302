"""Products of few rows with a large matrix, exact in float32.

A step of generation multiplies one row for each text. The matrix is then read from memory once, and torch's own way
reads it slowly: with one row on one thread only, with more copied into another layout first.
"""

import platform
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Ways:
    """The numbers of rows for which something is faster than torch's own product, on one kind of CPU.

    min_elements (int): The least elements of a matrix.
    rows (range): All of them. Those that nothing below takes are oneDNN's.
    sliced, sliced_left (range): MKL's, with the matrix, on the right or left, as a batch of slices, which its threads
        share. Only matrices that can be cut into equal slices.
    left (range): MKL's, with the whole matrix on the left.
    """

    min_elements: int
    rows: range
    sliced: range = range(0)
    sliced_left: range = range(0)
    left: range = range(0)


# Measured with bloom-560m's matrices, for AMD's AVX-512 also with those of 512 x 512. Smaller ones stay in a core's
# cache, where torch is best; with Intel's AVX-512 torch is best for up to three rows too, whatever the matrix. With
# AVX2, torch's way is slower even for the thousands of rows of a batch or of prompts: by a third for 128, a tenth for
# 512, 3% for 2,048.
WAYS = {
    "AVX2": Ways(2**20, range(1, 2049), range(1, 4), sliced_left=range(4, 12), left=range(4, 12)),
    "AVX512": Ways(3 * 2**20, range(4, 97)),
    "AVX512 of AMD": Ways(2**18, range(1, 97), left=range(2, 4)),
}
# A slice of an LM head would be too large if it had as few as other matrices.
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
    ways = WAYS[instructions()]
    n_slices = SLICES if features < HEAD_FEATURES else SLICES_OF_A_HEAD
    has_mkl, divides = torch.backends.mkl.is_available(), features % n_slices == 0
    if has_mkl and n in ways.sliced and divides:
        # Of shape (slices, columns, features of a slice).
        slices = weight.view(n_slices, features // n_slices, -1).transpose(1, 2)
        total = torch.bmm(rows.expand(n_slices, -1, -1), slices).transpose(0, 1).reshape(n, features)
    elif has_mkl and n in ways.sliced_left and divides:
        slices = weight.view(n_slices, features // n_slices, -1)
        total = torch.bmm(slices, rows.T.expand(n_slices, -1, -1)).view(features, n).T.contiguous()
    elif has_mkl and n in ways.left:
        total = (weight @ rows.T).T.contiguous()
    else:
        total = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
        bias = None
    if bias is not None:
        total.add_(bias)
    return total.view(*inner.shape[:-1], features)


def takes_few_rows(inner: Tensor, weight: Tensor) -> bool:
    """RETURNS (bool): Whether there is a faster way than torch's own: few enough rows, a large matrix, float32 on an
    x86 CPU, and no gradients.
    """
    n_rows = inner.numel() // max(inner.shape[-1], 1)
    if torch.is_grad_enabled() or not has_few_row_kernel():
        return False
    ways = WAYS[instructions()]
    if n_rows not in ways.rows or weight.numel() < ways.min_elements:
        return False
    exact = inner.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    return exact and weight.device.type == "cpu" and weight.is_contiguous()


@cache
def has_few_row_kernel() -> bool:
    """RETURNS (bool): Whether this build of torch has oneDNN's product, on a CPU where it was measured."""
    built = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return built and instructions() in WAYS


@cache
def instructions() -> str:
    """RETURNS (str): What torch computes with on this CPU: a name in WAYS, or another one."""
    found = torch.backends.cpu.get_cpu_capability()
    return f"{found} of AMD" if found == "AVX512" and is_amd() else found


def is_amd() -> bool:
    """RETURNS (bool): Whether this is known to be a CPU of AMD's, for which MKL has other ways than for Intel's."""
    try:
        with open("/proc/cpuinfo", encoding="utf8") as file:
            return "AuthenticAMD" in file.read(4096)
    except OSError:  # not on Linux
        return "AuthenticAMD" in platform.processor()
