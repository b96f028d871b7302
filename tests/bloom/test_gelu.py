"""The fast form of GELU gives torch's numbers, and never touches what a gradient needs."""

import pytest
import torch
from torch.nn import functional as F

from spacy_bloom.bloom.gelu import ELEMENTS_AT_ONCE, gelu, gelu_linear


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


@pytest.mark.parametrize("frozen", [(), (0,), (1, 2)])
def test_with_a_linear_layer_it_equals_the_two_apart(frozen):
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, 3, 8), (5, 8), (5,)]
    inputs = [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
    inputs = [x.requires_grad_(i not in frozen) for i, x in enumerate(inputs)]
    free = [x for x in inputs if x.requires_grad]
    expected = F.linear(F.gelu(inputs[0], approximate="tanh"), *inputs[1:])
    found = gelu_linear(*inputs)
    torch.testing.assert_close(found, expected)
    upstream = torch.randn(expected.shape, generator=generator, dtype=torch.float64)
    pairs = zip(
        torch.autograd.grad(found, free, upstream), torch.autograd.grad(expected, free, upstream), strict=True
    )
    for one, other in pairs:
        torch.testing.assert_close(one, other)


def test_with_a_linear_layer_only_its_input_is_kept():
    inner = torch.randn(6, 8, requires_grad=True)
    weight, bias = torch.randn(3, 8, requires_grad=True), torch.randn(3, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        gelu_linear(inner, weight, bias)
    assert {t.data_ptr() for t in kept} == {inner.data_ptr(), weight.data_ptr()}
