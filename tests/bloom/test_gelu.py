"""The fast form of GELU gives torch's numbers, and never touches what a gradient needs."""

import pytest
import torch
from torch.nn import functional as F

from spacy_bloom.bloom.gelu import ELEMENTS_AT_ONCE, gelu


@pytest.mark.parametrize("shape", [(1, 4), (3, 5, 8), (700, 512), (2, ELEMENTS_AT_ONCE + 1), (0, 4)])
def test_equals_torch(shape):
    x = torch.randn(shape) * 4
    expected = F.gelu(x, approximate="tanh")
    assert torch.allclose(gelu(x.clone()), expected, atol=2e-6, rtol=1e-6)


def test_extremes_are_finite_and_right():
    x = torch.tensor([[-1e4, -100.0, -20.0, 0.0, 20.0, 100.0, 1e4]])
    assert torch.equal(gelu(x.clone()), torch.tensor([[0.0, 0.0, 0.0, 0.0, 20.0, 100.0, 1e4]]))


def test_not_a_number_stays_visible():
    assert gelu(torch.tensor([[float("nan"), 1.0]])).isnan().tolist() == [[True, False]]


def test_leaves_its_input_alone_where_a_gradient_is_needed():
    x = torch.randn(5, 8, requires_grad=True)
    before = x.detach().clone()
    gelu(x).sum().backward()
    expected = before.clone().requires_grad_()
    F.gelu(expected, approximate="tanh").sum().backward()
    assert torch.equal(x.detach(), before)
    assert torch.equal(x.grad, expected.grad)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_dtypes_are_torchs(dtype):
    x = torch.randn(4, 8).to(dtype)
    assert torch.equal(gelu(x.clone()), F.gelu(x, approximate="tanh"))
