"""The losses of BLOOM's heads, from their logits, with the names and places of Hugging Face's `loss_function`."""

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from ..config import BloomConfig
from ..errors import InputError
from .losses import IGNORED_LABEL


def next_piece_loss(
    logits: Tensor,
    labels: Tensor | None,
    vocab_size: int | None = None,
    num_items_in_batch: Any = None,
    ignore_index: int = IGNORED_LABEL,
    shift_labels: Tensor | None = None,
) -> Tensor:
    """Cross entropy of each piece given those before it, in nats.

    logits (Tensor): Shape (batch, length, vocab_size).
    labels (Tensor | None): Not shifted. Shape (batch, length).
    num_items_in_batch (Tensor | int | None): What to divide the sum by; None for the mean.
    ignore_index (int): The label of places that are left out.
    shift_labels (Tensor | None): Instead of labels: the piece after each. Shape (batch, length).
    RETURNS (Tensor): Shape ().
    """
    if shift_labels is not None:
        return _cross_entropy(logits, shift_labels, num_items_in_batch, ignore_index)
    if labels is None:
        raise InputError("Expected labels or shift_labels, got neither.")
    return _cross_entropy(logits[:, :-1], labels[:, 1:], num_items_in_batch, ignore_index)


def piece_label_loss(
    logits: Tensor, labels: Tensor, config: BloomConfig | None = None, num_items_in_batch: Any = None
) -> Tensor:
    """Cross entropy of each piece's label, in nats.

    logits (Tensor): Shape (batch, length, num_labels).
    labels (Tensor): -100 is ignored. Shape (batch, length).
    num_items_in_batch (Tensor | int | None): What to divide the sum by; None for the mean.
    RETURNS (Tensor): Shape ().
    """
    return _cross_entropy(logits, labels, num_items_in_batch)


def label_loss(
    labels: Tensor, pooled_logits: Tensor, config: BloomConfig, num_items_in_batch: Any = None
) -> Tensor:
    """Loss of each sequence's labels, by config.problem_type, which is told from the labels and set if it is None.

    labels (Tensor): Ids of shape (batch,), or floats of shape (batch, num_labels) for regression and several labels.
    pooled_logits (Tensor): Shape (batch, num_labels).
    num_items_in_batch (Tensor | int | None): What to divide the sum by; None for the mean.
    RETURNS (Tensor): Shape ().
    RAISES (InputError): Labels that do not fit the problem_type.
    """
    logits, labels, items = pooled_logits, labels.to(pooled_logits.device), num_items_in_batch
    batch, num_labels = logits.shape
    if config.problem_type is None:
        config.problem_type = _problem_type(num_labels, labels)
    problem = config.problem_type
    by_id = problem == "single_label_classification"
    if by_id and labels.shape == (batch,) and not labels.is_floating_point():
        return _cross_entropy(logits, labels, items)
    if not by_id and (labels.shape == logits.shape or (num_labels == 1 and labels.shape == (batch,))):
        loss = F.mse_loss if problem == "regression" else F.binary_cross_entropy_with_logits
        targets, reduction = labels.reshape(logits.shape).float(), "mean" if items is None else "sum"
        return _divided(loss(logits.float(), targets, reduction=reduction), items)
    expected = f"ids of shape ({batch},)" if by_id else f"numbers of shape {tuple(logits.shape)}"
    raise InputError(
        f"Expected labels for {problem} as {expected}, got {labels.dtype} of shape {tuple(labels.shape)}."
    )


def answer_loss(
    start_logits: Tensor, end_logits: Tensor, start_positions: Tensor | None, end_positions: Tensor | None
) -> Tensor | None:
    """Cross entropy of an answer's first and last piece, in nats; None without positions.

    start_logits, end_logits (Tensor): Shape (batch, length).
    start_positions, end_positions (Tensor | None): Those beyond the pieces are left out. Shape (batch,) or (batch, 1).
    RETURNS (Tensor | None): The mean of both. Shape ().
    """
    if start_positions is None or end_positions is None:
        return None
    return (_position_loss(start_logits, start_positions) + _position_loss(end_logits, end_positions)) / 2


def check_labels(labels: Tensor, logits: Tensor) -> None:
    """RAISES (InputError): There is not one label per piece."""
    if labels.shape != logits.shape[:2]:
        raise InputError(f"Expected labels of shape {tuple(logits.shape[:2])}, got {tuple(labels.shape)}.")


def _problem_type(num_labels: int, labels: Tensor) -> str:
    if num_labels == 1:
        return "regression"
    return "multi_label_classification" if labels.is_floating_point() else "single_label_classification"


def _position_loss(logits: Tensor, positions: Tensor) -> Tensor:
    """Cross entropy over the pieces of each row, in float32. Shapes (batch, length) and (batch,) or (batch, 1)."""
    batch, length = logits.shape
    if positions.shape not in ((batch,), (batch, 1)) or positions.is_floating_point():
        raise InputError(
            f"Expected positions as integers of shape ({batch},), got {positions.dtype} of shape "
            f"{tuple(positions.shape)}."
        )
    beyond = length  # as in Hugging Face: what lies after the pieces is no target
    positions = positions.reshape(batch).long().clamp(0, beyond).to(logits.device)
    return F.cross_entropy(logits.float(), positions, ignore_index=beyond)


def _cross_entropy(logits: Tensor, labels: Tensor, items: Any = None, ignored: int = IGNORED_LABEL) -> Tensor:
    """Of labels not ignored, in float32. Shapes (..., classes) and (...).

    items (Tensor | int | None): What to divide the sum by; None for the mean.
    """
    labels = labels.to(logits.device).reshape(-1).long()
    rows = logits.reshape(-1, logits.shape[-1]).float()
    reduction = "mean" if items is None else "sum"
    return _divided(F.cross_entropy(rows, labels, ignore_index=ignored, reduction=reduction), items)


def _divided(loss: Tensor, items: Any) -> Tensor:
    if items is None:
        return loss
    return loss / (items.to(loss.device) if isinstance(items, Tensor) else items)
