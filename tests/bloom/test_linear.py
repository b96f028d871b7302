"""Fast linear layers give the plain numbers, and leave alone what a gradient needs."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from spacy_bloom.bloom.linear import CHUNK_ELEMENTS, add_linear, gelu_, gelu_linear, is_plain


@pytest.mark.parametrize("shape", [(1, 4), (3, 5, 8), (700, 512), (2, CHUNK_ELEMENTS + 1), (0, 4)])
def test_equals_torch(shape):
    x = torch.randn(shape) * 4
    expected = F.gelu(x, approximate="tanh")
    assert torch.allclose(gelu_(x.clone()), expected, atol=2e-6, rtol=1e-6)


def test_extremes_are_finite_and_right():
    x = torch.tensor([[-1e4, -100.0, -20.0, 0.0, 20.0, 100.0, 1e4]])
    assert torch.equal(gelu_(x.clone()), torch.tensor([[0.0, 0.0, 0.0, 0.0, 20.0, 100.0, 1e4]]))


def test_not_a_number_stays_visible():
    assert gelu_(torch.tensor([[float("nan"), 1.0]])).isnan().tolist() == [[True, False]]


def test_leaves_its_input_alone_where_a_gradient_is_needed():
    x = torch.randn(5, 8, requires_grad=True)
    before = x.detach().clone()
    gelu_(x).sum().backward()
    expected = before.clone().requires_grad_()
    F.gelu(expected, approximate="tanh").sum().backward()
    assert torch.equal(x.detach(), before)
    assert torch.equal(x.grad, expected.grad)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_dtypes_are_torchs(dtype):
    x = torch.randn(4, 8).to(dtype)
    assert torch.equal(gelu_(x.clone()), F.gelu(x, approximate="tanh"))


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


@pytest.fixture
def linear():
    torch.manual_seed(0)
    return nn.Linear(8, 5)


@pytest.mark.parametrize("shape", [(7,), (2, 3), (0,)])
@pytest.mark.parametrize("overwrite", [False, True])
def test_without_gradients_it_equals_the_sum(linear, shape, overwrite):
    residual, inner = torch.randn(*shape, 5), torch.randn(*shape, 8)
    before = residual.clone()
    with torch.no_grad():
        found = add_linear(residual, linear, inner, overwrite=overwrite)
        torch.testing.assert_close(found, before + linear(inner))
    assert overwrite or torch.equal(residual, before)


def test_not_contiguous_inputs(linear):
    residual, inner = torch.randn(5, 4, 3).transpose(0, 2), torch.randn(4, 3, 8).transpose(0, 1)
    expected = residual + linear(inner)
    with torch.no_grad():
        torch.testing.assert_close(add_linear(residual, linear, inner, overwrite=True), expected)


def test_with_gradients_nothing_is_overwritten(linear):
    residual, inner = torch.randn(4, 5), torch.randn(4, 8)
    before = residual.clone()
    add_linear(residual, linear, inner, overwrite=True).sum().backward()
    assert torch.equal(residual, before)
    assert linear.weight.grad is not None


def test_dropout_leaves_the_residual_whole(linear):
    with torch.no_grad():
        residual = torch.full((200, 5), 3.0)
        found = add_linear(residual, linear, torch.randn(200, 8), 0.5)
    assert 0.4 < (found == 3.0).float().mean() < 0.6


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_dtypes_take_the_plain_way(linear, dtype):
    linear = linear.to(dtype)
    residual, inner = torch.randn(4, 5).to(dtype), torch.randn(4, 8).to(dtype)
    with torch.no_grad():
        assert torch.equal(add_linear(residual, linear, inner, overwrite=True), residual + linear(inner))


def test_what_stands_in_a_layers_place_is_called(linear):
    class Adapted(nn.Linear):
        def forward(self, inner):
            return super().forward(inner) + 1

    adapted = Adapted(8, 5)
    residual, inner = torch.randn(4, 5), torch.randn(4, 8)
    with torch.no_grad():
        torch.testing.assert_close(add_linear(residual, adapted, inner), residual + adapted(inner))
    calls = []
    linear.register_forward_hook(lambda *args: calls.append(1))
    with torch.no_grad():
        add_linear(residual, linear, inner)
    assert calls and not is_plain(linear)
