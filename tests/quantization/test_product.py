import os
import subprocess
import sys

import pytest
import torch

from spacy_bloom.quantization import product
from spacy_bloom.quantization.product import (
    FULL,
    activation_range,
    int8_product,
    pack,
    plain_product,
    quantize_rows,
)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def draw_int8(*shape, limit=127, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-limit, limit + 1, shape, generator=generator)


def test_rows_are_rounded_to_half_a_step():
    values = draw(5, 300) * torch.tensor([1e-6, 1.0, 3.0, 1e4, 0.0])[:, None]
    integers, scales = quantize_rows(values)
    assert integers.dtype == torch.int8 and integers[:4].abs().amax(dim=1).tolist() == [127] * 4
    error = (integers.float() * scales[:, None] - values).abs()
    assert (error <= scales[:, None] * 0.5001).all()
    assert integers[4].tolist() == [0] * 300


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("columns", [64, 1024, 2500])
def test_the_plain_way_gives_the_exact_sums(rows, columns):
    activations, weight = draw_int8(rows, columns), draw_int8(33, columns, seed=1).to(torch.int8)
    exact = activations @ weight.long().T
    found = plain_product((activations + FULL.offset).to(torch.uint8), FULL.offset, weight, torch.ones(33))
    assert torch.equal(found, exact.float())


@pytest.mark.skipif(not product.has_kernel(), reason="this build of torch has no 8-bit products")
@pytest.mark.parametrize("rows", [1, 2, 5, 64])
@pytest.mark.parametrize("extreme", [False, True])
def test_the_kernel_gives_the_same_numbers_as_the_plain_way(rows, extreme):
    numbers = activation_range()
    activations, weight = draw_int8(rows, 512, limit=numbers.limit), draw_int8(48, 512, seed=1)
    if extreme:  # all at their largest: what a register of 16 bits would cut off
        activations, weight = activations.sign() * numbers.limit, weight.sign() * 127
    shifted, weight = (activations + numbers.offset).to(torch.uint8), weight.to(torch.int8)
    scales = draw(48).abs() + 0.1
    assert torch.equal(
        product._kernel(shifted, numbers.offset, pack(weight), scales),
        plain_product(shifted, numbers.offset, weight, scales),
    )


WITHOUT_VNNI = """
import torch
from spacy_bloom.quantization import product
from spacy_bloom.quantization.product import *
assert activation_range() == NARROW, activation_range()
weight = torch.full((16, 512), 127, dtype=torch.int8)
largest = torch.full((3, 512), NARROW.limit + NARROW.offset, dtype=torch.uint8)
exact = plain_product(largest, NARROW.offset, weight, torch.ones(16))
assert torch.equal(product._kernel(largest, NARROW.offset, pack(weight), torch.ones(16)), exact)
"""


@pytest.mark.skipif(not product.has_kernel(), reason="this build of torch has no 8-bit products")
@pytest.mark.parametrize("instructions", ["AVX2", "AVX512_CORE"])
def test_activations_have_seven_bits_where_eight_would_overflow(instructions):
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": instructions}
    command = [sys.executable, "-W", "ignore", "-c", WITHOUT_VNNI]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr


def test_a_row_does_not_depend_on_its_neighbours():
    inner, weight = draw(9, 200), quantize_rows(draw(31, 200, seed=1))
    inner[4] *= 1000
    bias = draw(31, seed=2)
    together = int8_product(inner, pack(weight[0]), weight[1], bias)
    alone = torch.cat([int8_product(row, pack(weight[0]), weight[1], bias) for row in inner.split(1)])
    assert torch.equal(together, alone)


def test_is_near_the_product_in_float():
    inner, matrix, bias = draw(20, 512), draw(64, 512, seed=1), draw(64, seed=2)
    exact = inner @ matrix.T + bias
    found = int8_product(inner, pack(quantize_rows(matrix)[0]), quantize_rows(matrix)[1], bias)
    assert (found - exact).norm() / exact.norm() < (0.013 if activation_range() == FULL else 0.02)


def test_numbers_that_are_none_stay_none():
    inner = draw(3, 64)
    inner[1, 5] = float("nan")
    weight, scales = quantize_rows(draw(8, 64, seed=1))
    found = int8_product(inner, pack(weight), scales, None)
    assert found[1].isnan().all() and found[[0, 2]].isfinite().all()
