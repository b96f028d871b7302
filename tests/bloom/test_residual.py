"""A linear layer added to a residual: the fast way gives the plain way's numbers and knows when not to be taken."""

import pytest
import torch
from torch import nn

from spacy_bloom.bloom.residual import add_linear, is_plain


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
