"""The linear layers of a block, fused with the GELU before or the residual after them."""

from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from .product import product, takes_few_rows

# Elements per slice: what stays in a core's cache between the steps.
CHUNK_ELEMENTS = 2**17


def gelu_(inner: Tensor) -> Tensor:
    """GELU in its tanh approximation, in place where no gradient is needed.

    0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) equals x sigmoid(1.5957691 x + 0.0713548 x^3). On CPU, torch's
    own kernel takes a tenth of BLOOM's time without gradients; the sigmoid form in slices that stay in cache takes a
    third of that. The two differ by rounding (5e-7).

    inner (Tensor): Made for this call; overwritten where no gradient is needed. Shape (*leading, features).
    RETURNS (Tensor): Shape (*leading, features).
    SOURCE: Hendrycks and Gimpel 2016 (arXiv 1606.08415); transformers' BloomGelu in numbers.
    """
    if inner.requires_grad or inner.device.type != "cpu" or inner.dtype != torch.float32:
        return F.gelu(inner, approximate="tanh")
    for part in inner.view(-1, inner.shape[-1]).split(max(CHUNK_ELEMENTS // inner.shape[-1], 1)):
        exponent = (part * part).mul_(0.07135481627).add_(1.5957691216).mul_(part)
        part.mul_(exponent.sigmoid_())
    return inner


def gelu_linear(inner: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`F.linear(gelu(inner), weight, bias)` that keeps only `inner` for the backward pass.

    The activation is computed again there: kept, it would be a quarter of a block's memory, and it costs little
    next to the product.

    inner (Tensor): Shape (*leading, features).
    weight (Tensor), bias (Tensor): Shapes (size, features) and (size,).
    RETURNS (Tensor): Shape (*leading, size).
    """
    return _GeluLinear.apply(inner, weight, bias)


class _GeluLinear(Function):
    @staticmethod
    def forward(ctx: Any, inner: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(inner, weight)
        return F.linear(F.gelu(inner, approximate="tanh"), weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_output: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        inner, weight = ctx.saved_tensors
        wants_inner, wants_weight, wants_bias = ctx.needs_input_grad
        d_inner = d_weight = d_bias = None
        rows = d_output.flatten(0, -2)  # (rows, size)
        if wants_weight:
            d_weight = rows.T @ F.gelu(inner, approximate="tanh").flatten(0, -2)
        if wants_bias:
            d_bias = rows.sum(dim=0)
        if wants_inner:
            d_inner = torch.ops.aten.gelu_backward(d_output @ weight, inner, approximate="tanh")
        return d_inner, d_weight, d_bias


def is_plain(linear: nn.Module) -> TypeGuard[nn.Linear]:
    """RETURNS (TypeGuard[Linear]): Whether the layer is just its weight and bias: no adapter or quantised layer in its
    place, and no hooks that expect a call, of torch or of accelerate, which may bring the weights.
    """
    hooked = linear._forward_hooks or linear._forward_pre_hooks
    return type(linear) is nn.Linear and not (hooked or getattr(linear, "_hf_hook", None))


def run_linear(linear: nn.Module, inner: Tensor) -> Tensor:
    """RETURNS (Tensor): `linear(inner)`, by the fastest product where the layer is plain. Shape (*leading, size)."""
    return product(inner, linear.weight, linear.bias) if is_plain(linear) else linear(inner)


def add_linear(
    residual: Tensor, linear: nn.Module, inner: Tensor, dropout: float = 0.0, *, overwrite: bool = False
) -> Tensor:
    """`residual + dropout(linear(inner))`.

    In float32 without gradients, the product is added to residual and bias as it is computed, which saves one or two
    passes over the hidden states. Half precision would round the residual once more.

    residual (Tensor): Shape (*leading, size).
    linear (Module): From features to size.
    inner (Tensor): Shape (*leading, features).
    dropout (float): Rate.
    overwrite (bool): The result may take the residual's memory.
    RETURNS (Tensor): Shape (*leading, size).
    """
    exact = residual.dtype == inner.dtype == torch.float32  # not so under autocast
    if torch.is_grad_enabled() or dropout or not exact or not is_plain(linear):
        return residual + F.dropout(linear(inner), dropout)
    if takes_few_rows(inner, linear.weight):
        total = product(inner, linear.weight, linear.bias)
        return residual.add_(total) if overwrite else total.add_(residual)
    total = residual.add_(linear.bias) if overwrite else residual + linear.bias
    return total.flatten(0, -2).addmm_(inner.flatten(0, -2), linear.weight.T).view(residual.shape)
