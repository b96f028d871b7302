"""Linear layers that end in a residual."""

from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def is_plain(linear: nn.Module) -> TypeGuard[nn.Linear]:
    """RETURNS (TypeGuard[Linear]): Whether the layer is its weight and bias and nothing else: no adapter or
    quantised layer in its place, and no hooks that expect its call.
    """
    return type(linear) is nn.Linear and not (linear._forward_hooks or linear._forward_pre_hooks)


def add_linear(
    residual: Tensor, linear: nn.Module, inner: Tensor, dropout: float = 0.0, *, overwrite: bool = False
) -> Tensor:
    """`residual + dropout(linear(inner))`.

    In float32 without gradients the product is added to residual and bias as it is computed, which saves a pass or
    two over the hidden states. Half precision would round the residual once more.

    residual (Tensor): Shape (*leading, size).
    linear (Module): From features to size.
    inner (Tensor): Shape (*leading, features).
    dropout (float): Rate.
    overwrite (bool): Nobody else reads the residual: it may become the result.
    RETURNS (Tensor): Shape (*leading, size).
    """
    exact = residual.dtype == inner.dtype == torch.float32  # not so under autocast
    if torch.is_grad_enabled() or dropout or not exact or not is_plain(linear):
        return residual + F.dropout(linear(inner), dropout)
    total = residual.add_(linear.bias) if overwrite else residual + linear.bias
    return total.flatten(0, -2).addmm_(inner.flatten(0, -2), linear.weight.T).view(residual.shape)
