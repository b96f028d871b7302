"""What processes that hold parts of a model exchange while it predicts. There is no gradient to learn from."""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from ..errors import InputError
from .ranks import lost_ranks_named, n_ranks


def add_up(part: Tensor) -> Tensor:
    """part (Tensor): This rank's term; overwritten.
    RETURNS (Tensor): The sum over the ranks, the same bits on all of them.
    """
    _expect_no_gradient(part)
    part = part.contiguous()
    with lost_ranks_named():
        dist.all_reduce(part)
    return part


def take_largest(part: Tensor) -> Tensor:
    """part (Tensor): This rank's numbers; overwritten.
    RETURNS (Tensor): The largest of the ranks at each place.
    """
    _expect_no_gradient(part)
    part = part.contiguous()
    with lost_ranks_named():
        dist.all_reduce(part, op=dist.ReduceOp.MAX)
    return part


def gather(part: Tensor) -> Tensor:
    """part (Tensor): Of one shape on all ranks.
    RETURNS (Tensor): The parts of all ranks. Shape (ranks, *shape).
    """
    _expect_no_gradient(part)
    with torch.inference_mode(mode=False):  # torch 2.4 writes into it from outside of that mode
        parts = part.new_empty(n_ranks(), *part.shape)
    with lost_ranks_named():
        # Older versions of torch have it by its older name.
        gather_single = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
        gather_single(parts.view(-1), part.contiguous().view(-1))
    return parts


def gather_columns(part: Tensor, widths: Sequence[int]) -> Tensor:
    """Join columns, of which ranks may have different numbers.

    part (Tensor): This rank's. Shape (*leading, own columns).
    widths (Sequence[int]): Columns of each rank.
    RETURNS (Tensor): All columns, the same bits on all ranks. Shape (*leading, columns).
    """
    parts = gather(F.pad(part, (0, max(widths) - part.shape[-1])))  # (ranks, *leading, widest)
    return torch.cat([own[..., :width] for own, width in zip(parts, widths, strict=True)], dim=-1)


def _expect_no_gradient(part: Tensor) -> None:
    if part.requires_grad:
        raise InputError(
            "Expected no gradient in a model that is divided among processes: it only predicts. Use torch.no_grad() or "
            "inputs that need none; train with `spacy bloom train-lm` under torchrun."
        )
