"""Cross entropies of categories of which some may be unknown."""

from typing import Any

from thinc.types import Floats2d


def exclusive_loss(ops: Any, logits: Floats2d, truths: Floats2d, known: Floats2d) -> tuple[float, Floats2d]:
    """Softmax cross entropy. One true label says everything. Where some are only known to be false, the loss is that
    of the sum of the others; where all are, the annotation contradicts itself and counts as missing.

    logits, truths, known (Floats2d): truths and known are 0 or 1. Shape (Docs, labels).
    RETURNS (tuple[float, Floats2d]): The loss in nats, summed over the Docs, and its gradient.
    """
    xp = ops.xp
    possible = xp.where(truths.any(axis=1, keepdims=True), truths > 0, known == 0)
    possible |= ~possible.any(axis=1, keepdims=True)
    kept = xp.where(possible, logits, -xp.inf)
    loss = _log_sum_exp(xp, logits) - _log_sum_exp(xp, kept)
    return float(loss.sum()), ops.softmax(logits) - ops.softmax(kept)


def binary_loss(ops: Any, logits: Floats2d, truths: Floats2d, known: Floats2d) -> tuple[float, Floats2d]:
    """Binary cross entropy of each label that is known. Arguments and RETURNS as for `exclusive_loss`."""
    loss = ops.xp.logaddexp(0, logits) - truths * logits
    return float((loss * known).sum()), (ops.sigmoid(logits) - truths) * known


def _log_sum_exp(xp: Any, logits: Floats2d) -> Floats2d:
    """RETURNS (Floats2d): Of each row, without overflow. Shape (rows, 1)."""
    largest = logits.max(axis=1, keepdims=True)
    return largest + xp.log(xp.exp(logits - largest).sum(axis=1, keepdims=True))
