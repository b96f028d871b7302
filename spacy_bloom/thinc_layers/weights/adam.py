"""thinc's Adam over torch's weights, in one pass over a weight, its gradient and its two moments."""

from typing import Any

import torch
from thinc.api import Optimizer, torch2xp, xp2torch
from thinc.backends import get_array_ops
from torch import Tensor
from torch.optim.adamw import adamw

Key = tuple[int, str]


def optimize(optimizer: Optimizer, key: Key, weight: Tensor, gradient: Tensor, rate: float) -> Tensor:
    """What `optimizer(key, weight, gradient, lr_scale=rate)` does, in place. Its moments and counts stay where thinc
    has them.

    thinc goes over the numbers on one thread, and five times more than needed: to clip, decay and clear them. A sparse
    gradient, of an embedding of which few rows were read, changes those rows and their moments alone.

    optimizer (Optimizer): thinc's. Other ways than Adam are its own.
    key (tuple[int, str]): The name under which it knows the weight.
    weight (Tensor): float32.
    gradient (Tensor): Dense, or sparse by rows.
    rate (float): Factor of the learning rate.
    RETURNS (Tensor): The weight.
    """
    if (
        type(optimizer) is not Optimizer
        or optimizer.use_radam
        or not (optimizer.b1 > 0.0 and optimizer.b2 > 0.0)
    ):
        dense = gradient.to_dense() if gradient.is_sparse else gradient
        changed, _ = optimizer(key, torch2xp(weight), torch2xp(dense), lr_scale=rate)
        return xp2torch(changed, device=weight.device)
    moments = [_moment(kept, key, weight) for kept in (optimizer.mom1, optimizer.mom2)]
    optimizer.nr_update[key] += 1
    if gradient.is_sparse:
        gradient = gradient.coalesce()
        rows = gradient.indices()[0]
        parts = [x.index_select(0, rows) for x in (weight, *moments)]
        _step(optimizer, optimizer.nr_update[key], rate, parts[0], gradient.values(), parts[1], parts[2])
        for whole, part in zip((weight, *moments), parts, strict=True):
            whole.index_copy_(0, rows, part)
    else:
        _step(optimizer, optimizer.nr_update[key], rate, weight, gradient, moments[0], moments[1])
    _average(optimizer, key, weight)
    return weight


def _moment(kept: dict, key: Key, weight: Tensor) -> Tensor:
    """RETURNS (Tensor): A moment of the weight, in the optimizer's own memory. Pages of rows that are never written
    take none.
    """
    if key not in kept:
        kept[key] = get_array_ops(torch2xp(weight)).alloc1f(weight.numel())
    return xp2torch(kept[key], device=weight.device).view(weight.shape)


def _step(
    optimizer: Optimizer, n: int, rate: float, weight: Tensor, gradient: Tensor, mean: Tensor, square: Tensor
) -> None:
    """torch's fused AdamW with other constants: it decays before the step, thinc after it; it adds eps to a root that
    is corrected for the first steps, thinc to one that is not.
    """
    speed = rate * float(optimizer.learn_rate)
    decay = speed * float(optimizer.L2) if optimizer.L2_is_weight_decay else 0.0
    if optimizer.L2 and not optimizer.L2_is_weight_decay:
        gradient = gradient.add(weight, alpha=float(optimizer.L2))
    step_size = speed * (1.0 - decay)
    fused: Any = adamw
    fused(
        [weight],
        [gradient],
        [mean],
        [square],
        [],
        [torch.tensor(float(n - 1), device=weight.device)],
        fused=True,
        grad_scale=_clipping(optimizer, gradient),
        amsgrad=False,
        beta1=float(optimizer.b1),
        beta2=float(optimizer.b2),
        lr=step_size,
        weight_decay=decay / step_size if step_size else 0.0,
        eps=float(optimizer.eps) / (1.0 - float(optimizer.b2) ** n) ** 0.5,
        maximize=False,
    )


def _clipping(optimizer: Optimizer, gradient: Tensor) -> Tensor | None:
    """RETURNS (Tensor | None): What the gradient is divided by, so that it is not longer than the optimizer allows."""
    if not optimizer.grad_clip:
        return None
    # The length in parts: a sum over hundreds of millions of squares loses its last digits in float32.
    length = torch.stack(torch._foreach_norm(gradient.flatten().split(2**24))).norm()
    return (length / float(optimizer.grad_clip)).clamp_(min=1.0)


def _average(optimizer: Optimizer, key: Key, weight: Tensor) -> None:
    if optimizer.averages is None:
        return
    array = torch2xp(weight)
    ops = get_array_ops(array)
    if key not in optimizer.averages:
        optimizer.averages[key] = ops.alloc(array.shape, dtype="float32")
    ops.update_averages(optimizer.averages[key], array, optimizer.nr_update[key])
