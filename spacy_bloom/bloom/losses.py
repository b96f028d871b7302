"""Cross entropy of next pieces, in little memory."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

IGNORED_LABEL = -100  # the label of pieces that no loss is taken of, as everywhere in PyTorch


def lm_loss(hidden: Tensor, weight: Tensor, labels: Tensor, *, chunk_size: int) -> Tensor:
    """Mean cross entropy of the labels under `softmax(hidden @ weight.T)`.

    The forward pass computes the gradients chunk by chunk, while it has a chunk's probabilities; the backward pass
    only scales them. Softmax and sums are float32 if the inputs are of half precision.

    hidden (Tensor): Hidden states after the last layer norm. Shape (pieces, hidden).
    weight (Tensor): Of the LM head. Shape (vocab, hidden).
    labels (Tensor): The piece to predict at each place; -100 is ignored. Shape (pieces,), int64.
    chunk_size (int): Pieces whose logits exist at once.
    RETURNS (Tensor): The mean over the labels that are not ignored, in nats; 0 if there are none. Shape ().
    """
    return _ChunkedCrossEntropy.apply(hidden, weight, labels, chunk_size)


def nll_(logits: Tensor, labels: Tensor) -> Tensor:
    """Negative log-likelihood of each label.

    logits (Tensor): Overwritten. Shape (places, vocab).
    labels (Tensor): -100 gives 0. Shape (places,), int64.
    RETURNS (Tensor): In nats. Shape (places,).
    """
    losses, _ = _exponentials_(logits, labels)
    return losses.masked_fill_(labels == IGNORED_LABEL, 0.0)


def set_nll_(logits: Tensor, members: Tensor) -> Tensor:
    """Negative log-likelihood of any piece of a set.

    logits (Tensor): Overwritten. Shape (places, vocab), float32.
    members (Tensor): Whether each piece is in the set. Shape (vocab,), bool.
    RETURNS (Tensor): In nats. Shape (places,).
    """
    everything = logits.logsumexp(dim=1)
    # Rounding could make a sure event more than sure.
    return (everything - logits.masked_fill_(~members, -torch.inf).logsumexp(dim=1)).clamp_(min=0.0)


def sum_dtype(tensor: Tensor) -> torch.dtype:
    """RETURNS (torch.dtype): What sums over a tensor are computed in: float32 for half precision."""
    return torch.promote_types(tensor.dtype, torch.float32)


class _ChunkedCrossEntropy(Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor, chunk_size: int) -> Tensor:
        ctx.save_for_backward(hidden, weight, labels)
        ctx.chunk_size = chunk_size
        wants_hidden, wants_weight = ctx.needs_input_grad[:2]
        loss, *ctx.gradients = _loss_and_gradients(
            hidden, weight, labels, chunk_size, wants_hidden, wants_weight
        )
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        # The embedding's gradient is the largest tensor of a step: it is scaled in place and handed on, never
        # copied. A graph that is kept for another backward pass computes it anew.
        hidden, weight, labels = ctx.saved_tensors
        wants_hidden, wants_weight = ctx.needs_input_grad[:2]
        if ctx.gradients is None:
            _, *ctx.gradients = _loss_and_gradients(
                hidden, weight, labels, ctx.chunk_size, wants_hidden, wants_weight
            )
        d_hidden, d_weight = ctx.gradients
        ctx.gradients = None
        if d_hidden is not None:
            d_hidden.mul_(upstream)
        if d_weight is not None:
            d_weight = d_weight.mul_(upstream).to(weight.dtype)
        return d_hidden, d_weight, None, None


def _loss_and_gradients(
    hidden: Tensor, weight: Tensor, labels: Tensor, chunk_size: int, wants_hidden: bool, wants_weight: bool
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """RETURNS (tuple[Tensor, Tensor | None, Tensor | None]): The mean loss; its gradient by the hidden states, in
    their dtype; and by the weight, in the dtype of sums.
    """
    sums = sum_dtype(hidden)
    d_hidden = torch.empty_like(hidden) if wants_hidden else None
    d_weight = torch.zeros_like(weight, dtype=sums) if wants_weight else None
    total = torch.zeros((), dtype=sums, device=hidden.device)
    for start in range(0, len(labels), chunk_size):
        chunk = slice(start, start + chunk_size)
        loss, d_logits = _chunk_loss(_logits(hidden[chunk], weight), labels[chunk])
        total += loss
        d_logits = d_logits.to(hidden.dtype)
        if d_hidden is not None:
            torch.mm(d_logits, weight, out=d_hidden[chunk])
        if d_weight is not None:
            _add_product(d_weight, d_logits.T, hidden[chunk])
    # Of the mean only now: half precision holds the probabilities of a sum, not what a division leaves of them.
    scale = 1.0 / max(int((labels != IGNORED_LABEL).sum()), 1)
    for gradient in (d_hidden, d_weight):
        if gradient is not None:
            gradient.mul_(scale)
    return total * scale, d_hidden, d_weight


def _chunk_loss(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Summed loss of a chunk and its gradient with regard to the logits, which are overwritten.

    The gradient is that of the sum, not of the mean: half precision holds entries of order 1.

    logits (Tensor): Shape (chunk, vocab).
    labels (Tensor): Shape (chunk,).
    RETURNS (tuple[Tensor, Tensor]): Shapes () and (chunk, vocab).
    """
    kept = labels != IGNORED_LABEL
    losses, sums = _exponentials_(logits, labels)
    probabilities = logits.div_(sums)
    columns = labels.clamp(min=0)[:, None]  # (chunk, 1)
    probabilities.scatter_add_(1, columns, torch.full_like(losses, -1.0)[:, None])
    if not kept.all():
        probabilities.mul_(kept[:, None])
    return (losses * kept).sum(), probabilities


def _exponentials_(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """A softmax up to its division, in place: torch's own would hold the logits up to three times.

    logits (Tensor): Overwritten with their exponentials. Shape (chunk, vocab).
    labels (Tensor): Ignored ones are taken for 0. Shape (chunk,).
    RETURNS (tuple[Tensor, Tensor]): Negative log likelihoods of the labels, and the exponentials' sums.
        Shapes (chunk,) and (chunk, 1).
    """
    logits.sub_(logits.amax(dim=1, keepdim=True))
    scores = logits.gather(1, labels.clamp(min=0)[:, None])
    sums = logits.exp_().sum(dim=1, keepdim=True)
    return (sums.log() - scores)[:, 0], sums


def _logits(hidden: Tensor, weight: Tensor) -> Tensor:
    return (hidden @ weight.T).to(sum_dtype(hidden))


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """Add `left @ right` to total in place; in float32 if the factors are of half precision."""
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    else:
        total.add_(left @ right)
