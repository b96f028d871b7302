"""Two views of a batch: padded, as Hugging Face has it, and packed, with padding inside attention only.

All other layers work on one piece at a time and see no difference: they take (batch, length, hidden) and
(pieces, hidden) alike. A view knows the positions of its pieces and how they attend to each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..errors import InputError
from .alibi import alibi_bias, causal_alibi
from .attend import attend, attend_with_weights
from .cache import KeyValueCache

# Sequences are attended together while at least this part of the padded square is pieces.
LEAST_FILL = 0.75
# Padded rows of attention computed at once; bounds the memory of scores at any batch size.
ROWS_AT_ONCE = 16384


class BatchView(Protocol):
    """What a block needs to know of its batch."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, dropout: float) -> Tensor:
        """Attend within the sequences of the batch.

        query, key, value (Tensor): Shape (*leading, n_head, head_dim), leading being the view's.
        RETURNS (Tensor): Shape (*leading, n_head * head_dim).
        """
        ...


class PaddedView:
    """Rows of equal length with padding on either side, and keys of earlier calls.

    attention_mask (Tensor): 1 for pieces, 0 for padding, past keys first. Shape (batch, keys).
    length (int): Number of new pieces per row, the last of the keys.
    slopes (Tensor): Shape (n_head,).
    cache (KeyValueCache | None): Holds the keys of earlier calls; receives the new ones.
    output_attentions (bool): Whether to keep the attention weights of each layer in `attentions`.
    """

    def __init__(
        self,
        attention_mask: Tensor,
        length: int,
        slopes: Tensor,
        cache: KeyValueCache | None = None,
        output_attentions: bool = False,
    ) -> None:
        self.cache = cache
        self.attentions: list[Tensor] | None = [] if output_attentions else None
        self.bias, blind = _padded_bias(attention_mask, length, slopes)
        # The fused kernels' backward pass takes the weights from the sum that it kept of each row; beside
        # float32's lowest number the sum is lost, and the gradients of a blind row would be wrong.
        self.fused = not (output_attentions or (torch.is_grad_enabled() and bool(blind.any())))

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, dropout: float) -> Tensor:
        """See BatchView. Leading dimensions (batch, length)."""
        query, key, value = (
            x.transpose(1, 2) for x in (query, key, value)
        )  # (batch, n_head, length, head_dim)
        if self.cache is not None:
            key, value = self.cache.update(layer, key, value)
        if self.fused:
            context = attend(query, key, value, self.bias, dropout)
        else:
            context, weights = attend_with_weights(query, key, value, self.bias, dropout)
            if self.attentions is not None:
                self.attentions.append(weights)
        return context.transpose(1, 2).flatten(2)  # (batch, length, n_head * head_dim)


def _padded_bias(attention_mask: Tensor, length: int, slopes: Tensor) -> tuple[Tensor, Tensor]:
    """ALiBi, causality and padding in one bias.

    Positions count the pieces of a row, as in Hugging Face, so that left padding does not shift them. Masked
    scores get float32's lowest number rather than -inf: blind rows, which may attend to nothing (queries on
    left padding), are uniform and finite instead of NaN.

    RETURNS (tuple[Tensor, Tensor]): The bias, float32, and which rows are blind.
        Shapes (batch, n_head, length, keys) and (batch, length).
    """
    keys = attention_mask.shape[1]
    mask = attention_mask.to(slopes.device)
    positions = (mask.long().cumsum(dim=-1) - 1) * mask.long()  # (batch, keys)
    bias = alibi_bias(slopes, positions[:, -length:], positions)
    order = torch.arange(keys, device=slopes.device)
    future = order[None, :] > order[-length:, None]  # (length, keys)
    masked = future[None] | (mask == 0)[:, None, :]  # (batch, length, keys)
    return bias.masked_fill_(masked[:, None], torch.finfo(torch.float32).min), masked.all(dim=-1)


@dataclass
class _Group:
    """Sequences of similar length, padded to the longest for attention.

    rows (Tensor): Where each piece stands in the packed batch; padding points at its sequence's last piece.
        Shape (sequences * length,).
    places (Tensor): The rows that are pieces. Shape (pieces,).
    real (Tensor | None): Indices of pieces among rows; None if all are. Shape (pieces,).
    """

    sequences: int
    length: int
    rows: Tensor
    places: Tensor
    real: Tensor | None


class PackedView:
    """Sequences one after the other without padding.

    Padding is on the right inside attention, where a causal mask hides it from every piece: one bias
    serves all sequences, and no row needs a mask of its own.

    lengths (Sequence[int]): Pieces of each sequence, each at least 1. Batches whose sequences are sorted by
        length pad least, any order is allowed.
    slopes (Tensor): Shape (n_head,).
    RAISES (InputError): A length below 1.
    """

    def __init__(self, lengths: Sequence[int], slopes: Tensor) -> None:
        if not lengths or min(lengths) < 1:
            raise InputError(
                f"Expected one or more sequences of at least one piece, got lengths {list(lengths)[:20]}."
            )
        self.groups = _group(lengths, slopes.device)
        self.bias = causal_alibi(slopes, max(lengths))  # (n_head, longest, longest)
        # Where each piece of the batch stands among the pieces in the order of the groups.
        self.order = torch.cat([group.places for group in self.groups]).argsort()

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, dropout: float) -> Tensor:
        """See BatchView. Leading dimensions (pieces,)."""
        contexts = []
        for group in self.groups:
            shape = (group.sequences, group.length, *query.shape[1:])
            # index_select, not indexing: its gradient is an addition by index instead of a sort.
            q, k, v = (x.index_select(0, group.rows).view(shape).transpose(1, 2) for x in (query, key, value))
            bias = self.bias[None, :, : group.length, : group.length]
            context = attend(q, k, v, bias, dropout)  # (sequences, n_head, length, head_dim)
            context = context.transpose(1, 2).reshape(group.rows.shape[0], -1)
            contexts.append(context if group.real is None else context.index_select(0, group.real))
        return torch.cat(contexts).index_select(0, self.order)


def _group(lengths: Sequence[int], device: torch.device) -> list[_Group]:
    """Put sequences of similar length together, longest first."""
    starts = [0]
    for length in lengths:
        starts.append(starts[-1] + length)
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    groups: list[list[int]] = []
    pieces = longest = 0
    for i in order:
        padded = (len(groups[-1]) + 1) * longest if groups else 0
        if not groups or pieces + lengths[i] < LEAST_FILL * padded or padded > ROWS_AT_ONCE:
            groups.append([])
            pieces, longest = 0, lengths[i]
        groups[-1].append(i)
        pieces += lengths[i]
    return [_make_group([(starts[i], lengths[i]) for i in members], device) for members in groups]


def _make_group(members: list[tuple[int, int]], device: torch.device) -> _Group:
    start = torch.tensor([s for s, _ in members], device=device)
    length = torch.tensor([n for _, n in members], device=device)
    longest = members[0][1]
    steps = torch.arange(longest, device=device)
    rows = start[:, None] + torch.minimum(steps[None, :], length[:, None] - 1)  # (sequences, longest)
    real = steps[None, :] < length[:, None]
    if all(n == longest for _, n in members):
        return _Group(len(members), longest, rows.flatten(), rows.flatten(), None)
    real = (steps[None, :] < length[:, None]).flatten().nonzero()[:, 0]
    return _Group(len(members), longest, rows.flatten(), rows.flatten()[real], real)
