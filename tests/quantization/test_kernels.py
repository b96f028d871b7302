"""All kernels give the numbers of plain sums, which are exact."""

import os
import warnings

import pytest
import torch

from spacy_bloom.quantization import kernels
from spacy_bloom.quantization.kernels import (
    FEW_ROWS,
    FULL,
    NARROW,
    Fbgemm,
    OneDnn,
    PlainSums,
    activation_range,
    find_kernel,
)

BUILT = [kernel() for kernel in (OneDnn, Fbgemm) if kernel.is_built()]
RANGES = list(dict.fromkeys((NARROW, activation_range())))  # what this machine adds exactly


def draw_integers(*shape, limit=127, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-limit, limit + 1, shape, generator=generator)


def scales_of(features):
    return torch.rand(features, generator=torch.Generator().manual_seed(3)) + 0.1


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("columns", [64, 1024, 2500])
def test_plain_sums_are_exact(rows, columns):
    activations, weight = draw_integers(rows, columns), draw_integers(33, columns, seed=1).to(torch.int8)
    found = PlainSums().multiply(activations.float(), FULL, weight, torch.ones(33))
    assert torch.equal(found, (activations @ weight.long().T).float())


@pytest.mark.parametrize("kernel", BUILT, ids=lambda kernel: type(kernel).__name__)
@pytest.mark.parametrize("numbers", RANGES, ids=lambda numbers: str(numbers.limit))
@pytest.mark.parametrize("rows", [0, 1, 2, 5, FEW_ROWS, FEW_ROWS + 1, 64])
@pytest.mark.parametrize("extreme", [False, True])
def test_kernels_give_the_same_numbers_as_plain_sums(kernel, numbers, rows, extreme):
    activations, weight = draw_integers(rows, 512, limit=numbers.limit), draw_integers(48, 512, seed=1)
    if extreme:  # all at their largest: what a register of 16 bits would cut off
        activations, weight = activations.sign() * numbers.limit, weight.sign() * 127
    activations, weight = activations.float(), weight.to(torch.int8)
    found = kernel.multiply(activations, numbers, kernel.pack(weight, scales_of(48)), scales_of(48))
    assert torch.equal(found, PlainSums().multiply(activations, numbers, weight, scales_of(48)))
    assert found.is_contiguous()


@pytest.mark.parametrize("kernel", BUILT, ids=lambda kernel: type(kernel).__name__)
@pytest.mark.parametrize("numbers", RANGES, ids=lambda numbers: str(numbers.limit))
def test_all_round_alike(kernel, numbers):
    # Halves go to the even number; numbers next to a half become one where the offset is added too early.
    values = torch.tensor([0.5, 1.5, -0.5, -62.5, 62.5, 1.4999999, 0.49999997, 2.5000002])
    inner = torch.cat((values, torch.rand(120, generator=torch.Generator().manual_seed(0)) * 126 - 63))[None]
    weight, ones = torch.eye(128, dtype=torch.int8), torch.ones(128)
    found = kernel.multiply(inner, numbers, kernel.pack(weight, ones), ones)
    assert torch.equal(found, inner.round())


def test_packing_is_silent():
    weight = draw_integers(8, 64).to(torch.int8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        find_kernel("cpu").pack(weight, torch.ones(8))


def test_the_kernel_of_this_machine_is_exact_for_its_range():
    numbers, kernel = activation_range(), find_kernel("cpu")
    weight = torch.full((16, 512), 127, dtype=torch.int8)
    largest = torch.full((3, 512), float(numbers.limit))
    found = kernel.multiply(largest, numbers, kernel.pack(weight, torch.ones(16)), torch.ones(16))
    assert torch.equal(found, PlainSums().multiply(largest, numbers, weight, torch.ones(16)))


def test_other_devices_have_plain_sums():
    assert isinstance(find_kernel("cuda"), PlainSums)


@pytest.mark.skipif(
    not (OneDnn.is_built() and Fbgemm.is_built()), reason="this build of torch has one kernel"
)
@pytest.mark.parametrize(
    ("amd", "exact", "numbers", "kernel"),
    [
        (True, True, FULL, Fbgemm),
        (True, False, FULL, OneDnn),
        (False, True, FULL, OneDnn),
        (False, False, NARROW, Fbgemm),
    ],
)
def test_the_kernel_is_that_of_the_cpu(amd, exact, numbers, kernel, monkeypatch):
    monkeypatch.setattr(kernels, "is_amd", lambda: amd)
    monkeypatch.setattr(kernels, "_is_exact", lambda kernel: exact)
    monkeypatch.setattr(kernels, "activation_range", lambda: numbers)
    assert isinstance(find_kernel.__wrapped__("cpu"), kernel)


WITHOUT_VNNI = """
import torch
from spacy_bloom.quantization.kernels import *
assert activation_range() == NARROW, activation_range()
weight, ones = torch.full((16, 512), 127, dtype=torch.int8), torch.ones(16)
largest = torch.full((3, 512), float(NARROW.limit))
exact = PlainSums().multiply(largest, NARROW, weight, ones)
for kernel in (OneDnn(), find_kernel("cpu")):
    assert torch.equal(kernel.multiply(largest, NARROW, kernel.pack(weight, ones), ones), exact), kernel
"""


@pytest.mark.skipif(not OneDnn.is_built(), reason="this build of torch has no 8-bit products")
@pytest.mark.parametrize("instructions", ["AVX2", "AVX512_CORE"])
def test_activations_have_seven_bits_where_eight_would_overflow(instructions, python_torch):
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": instructions}
    result = python_torch.run("-c", WITHOUT_VNNI, env=environment)
    assert result.returncode == 0, result.stderr
