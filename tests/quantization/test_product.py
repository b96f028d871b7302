import torch

from spacy_bloom.quantization.kernels import FULL, activation_range
from spacy_bloom.quantization.product import int8_product, pack, quantize_rows


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_rows_are_rounded_to_half_a_step():
    values = draw(5, 300) * torch.tensor([1e-6, 1.0, 3.0, 1e4, 0.0])[:, None]
    integers, scales = quantize_rows(values)
    assert integers.dtype == torch.int8 and integers[:4].abs().amax(dim=1).tolist() == [127] * 4
    error = (integers.float() * scales[:, None] - values).abs()
    assert (error <= scales[:, None] * 0.5001).all()
    assert integers[4].tolist() == [0] * 300


def test_a_row_does_not_depend_on_its_neighbours():
    inner, weight = draw(9, 200), quantize_rows(draw(31, 200, seed=1))
    inner[4] *= 1000
    bias = draw(31, seed=2)
    packed = pack(*weight)
    together = int8_product(inner, packed, weight[1], bias)
    alone = torch.cat([int8_product(row, packed, weight[1], bias) for row in inner.split(1)])
    assert torch.equal(together, alone)


def test_is_near_the_product_in_float():
    inner, matrix, bias = draw(20, 512), draw(64, 512, seed=1), draw(64, seed=2)
    exact = inner @ matrix.T + bias
    weight, scales = quantize_rows(matrix)
    found = int8_product(inner, pack(weight, scales), scales, bias)
    assert (found - exact).norm() / exact.norm() < (0.013 if activation_range() == FULL else 0.02)


def test_numbers_that_are_none_stay_none():
    inner = draw(3, 64)
    inner[1, 5] = float("nan")
    weight, scales = quantize_rows(draw(8, 64, seed=1))
    found = int8_product(inner, pack(weight, scales), scales, None)
    assert found[1].isnan().all() and found[[0, 2]].isfinite().all()


def test_no_rows_give_none():
    weight, scales = quantize_rows(draw(8, 64))
    assert int8_product(draw(0, 64), pack(weight, scales), scales, None).shape == (0, 8)
