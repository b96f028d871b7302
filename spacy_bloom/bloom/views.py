"""Two views of a batch: padded, as in Hugging Face, and packed, with padding inside attention only.

All other layers work on single pieces and take (batch, length, hidden) and (pieces, hidden) alike. A view knows the
positions of its pieces and how they attend to each other.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..errors import InputError
from .alibi import alibi_bias, causal_alibi, symmetric_alibi
from .attend import attend, attend_with_weights, rounded_bias
from .past import Cache

# Sequences are attended together while at least this fraction of the padded square is pieces.
MIN_FILL = 0.75
# Longer ones are attended alone: padding costs more than a call.
MAX_PADDED = 32
# Maximum number of padded rows of attention per call; bounds the memory of scores.
CHUNK_ROWS = 16384


class BatchView(Protocol):
    """What a block needs to know about its batch."""

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
    cache (Cache | None): Holds the keys of earlier calls; receives the new ones.
    output_attentions (bool): Keep the attention weights of each layer in `attentions`.
    dtype (torch.dtype): Of the queries: the bias is rounded to it once for all layers.
    """

    def __init__(
        self,
        attention_mask: Tensor,
        length: int,
        slopes: Tensor,
        cache: Cache | None = None,
        output_attentions: bool = False,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.cache = cache
        self.attentions: list[Tensor] | None = [] if output_attentions else None
        self.bias, blind = _padded_bias(attention_mask, length, slopes)
        self.fused = not output_attentions and _can_fuse(self.bias, blind)
        if self.fused:
            self.bias = rounded_bias(self.bias, dtype)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, dropout: float) -> Tensor:
        """See BatchView. Leading dimensions (batch, length)."""
        # 3 x (batch, n_head, length, head_dim)
        query, key, value = (x.transpose(1, 2) for x in (query, key, value))
        if self.cache is not None:
            key, value = self.cache.update(key, value, layer)
        if self.fused:
            context = attend(query, key, value, self.bias, dropout)
        else:
            context, weights = attend_with_weights(query, key, value, self.bias, dropout)
            if self.attentions is not None:
                self.attentions.append(weights)
        return context.transpose(1, 2).flatten(2)  # (batch, length, n_head * head_dim)


def _can_fuse(bias: Tensor, blind: Tensor) -> bool:
    """RETURNS (bool): Whether the fused kernels give the right gradients. They take the weights from the sum that they
    kept of each row; beside float32's lowest number the sum is lost, and the gradients of a blind row would be wrong.
    On a GPU, where looking for one would be waiting for the device, blind rows see all keys instead: nobody reads them.
    """
    if not torch.is_grad_enabled():
        return True
    if torch.compiler.is_compiling():
        return False  # while tracing nobody knows
    if bias.device.type == "cpu":
        return not bool(blind.any())
    bias.masked_fill_(blind[:, None, :, None], 0.0)
    return True


def _padded_bias(attention_mask: Tensor, length: int, slopes: Tensor) -> tuple[Tensor, Tensor]:
    """ALiBi, causality and padding in one bias.

    Positions count the pieces of a row, as in Hugging Face, so that left padding does not shift them. Masked scores
    get the lowest float32 number, not -inf: blind rows, which may attend to nothing (queries on left padding), are
    uniform and finite instead of NaN.

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
    """Adjacent sequences of similar length that are attended together.

    sequences (int): Number of sequences.
    length (int): Number of pieces in the longest one.
    pieces (int): Number of pieces in all.
    rows (Tensor | None): The group's piece at each place of the padded square; padding repeats its sequence's last
        piece. None if all are equally long. Shape (sequences * length,).
    real (Tensor | None): The places that are not padding. Shape (pieces,).
    padding (Tensor | None): Whether each place of the square is padding. Shape (sequences, length).
    """

    sequences: int
    length: int
    pieces: int
    rows: Tensor | None = None
    real: Tensor | None = None
    padding: Tensor | None = None

    def pad(self, packed: Tensor) -> Tensor:
        """(pieces, n_head, head_dim) to (sequences, n_head, length, head_dim)."""
        # index_select, not indexing: its gradient is an addition by index instead of a sort.
        square = packed if self.rows is None else packed.index_select(0, self.rows)
        return square.unflatten(0, (self.sequences, self.length)).transpose(1, 2)

    def unpad(self, padded: Tensor) -> Tensor:
        """(sequences, n_head, length, head_dim) to (pieces, n_head * head_dim)."""
        square = padded.transpose(1, 2).flatten(0, 1).flatten(1)
        return square if self.real is None else square.index_select(0, self.real)

    def causal_bias(self, bias: Tensor) -> Tensor:
        """bias (Tensor): The bias of the batch's longest sequence. Shape (n_head, longest, longest).
        RETURNS (Tensor): The bias of this group; padding is in every piece's future. Shape (1, n_head, length, length).
        """
        return bias[None, :, : self.length, : self.length]

    def symmetric_bias(self, bias: Tensor) -> Tensor:
        """bias (Tensor): The bias of the batch's longest sequence. Shape (n_head, longest, longest).
        RETURNS (Tensor): The bias of this group, with padding masked. Shape (sequences or 1, n_head, length, length).
        """
        square = bias[None, :, : self.length, : self.length]
        return square if self.padding is None else square.masked_fill(self.padding[:, None, None], -math.inf)


class PackedView:
    """Sequences one after the other without padding.

    Internally, the longest come first: `arrange` sorts a batch before the first layer, `restore` undoes it after the
    last, and attention in between takes runs of similar sequences. Short ones are padded to the longest of their run,
    on the right, where a causal mask hides padding from every piece, so that one bias serves all sequences and no row
    needs its own mask.

    lengths (Sequence[int]): Pieces of each sequence, each at least 1.
    slopes (Tensor): Shape (n_head,).
    causal_layers (int | None): Number of first layers in which a piece attends only to what is before it; in the rest
        it attends to both sides. None for all layers.
    dtype (torch.dtype): Of the queries: biases are rounded to it once for all layers.
    RAISES (InputError): A length below 1.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        slopes: Tensor,
        *,
        causal_layers: int | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if not lengths or min(lengths) < 1:
            raise InputError(
                f"Expected one or more sequences of at least one piece, got lengths {list(lengths)[:20]}."
            )
        order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
        device = slopes.device
        in_order = [lengths[i] for i in order]
        longest = in_order[0]
        # Every call costs a GPU more than padding does.
        max_padded = MAX_PADDED if device.type == "cpu" else longest
        self.groups = [_make_group(group, device) for group in _group(in_order, max_padded)]
        self.causal_layers = causal_layers
        self._causal: list[Tensor] = []
        self._symmetric: list[Tensor] = []
        if causal_layers != 0:
            bias = rounded_bias(causal_alibi(slopes, longest), dtype)
            self._causal = [group.causal_bias(bias) for group in self.groups]
        if causal_layers is not None:
            bias = rounded_bias(symmetric_alibi(slopes, longest), dtype)
            self._symmetric = [group.symmetric_bias(bias) for group in self.groups]
        self._places: Tensor | None = None
        self._back: Tensor | None = None
        if order != sorted(order):
            places = _places(lengths, order)
            self._places, self._back = to_device(places, device), to_device(places.argsort(), device)

    def arrange(self, packed: Tensor) -> Tensor:
        """RETURNS (Tensor): The batch, longest sequences first. Shape (pieces, ...)."""
        return packed if self._places is None else packed.index_select(0, self._places)

    def restore(self, arranged: Tensor) -> Tensor:
        """RETURNS (Tensor): The batch in its original order. Shape (pieces, ...)."""
        return arranged if self._back is None else arranged.index_select(0, self._back)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, dropout: float) -> Tensor:
        """See BatchView. Leading dimensions (pieces,), arranged."""
        sizes = [group.pieces for group in self.groups]
        biases = self._causal if self._is_causal(layer) else self._symmetric
        parts = zip(
            self.groups, biases, query.split(sizes), key.split(sizes), value.split(sizes), strict=True
        )
        contexts = []
        for group, bias, q, k, v in parts:
            contexts.append(group.unpad(attend(group.pad(q), group.pad(k), group.pad(v), bias, dropout)))
        return contexts[0] if len(contexts) == 1 else torch.cat(contexts)

    def _is_causal(self, layer: int) -> bool:
        return self.causal_layers is None or layer < self.causal_layers


def _group(lengths: Sequence[int], max_padded: int) -> list[list[int]]:
    """Cut sorted lengths into runs to attend together.

    lengths (Sequence[int]): Longest first.
    max_padded (int): Longest length that others are padded to.
    RETURNS (list[list[int]]): The lengths of each run.
    """
    groups: list[list[int]] = []
    for length in lengths:
        if not groups or not _joins(groups[-1], length, max_padded):
            groups.append([])
        groups[-1].append(length)
    return groups


def _joins(group: Sequence[int], length: int, max_padded: int) -> bool:
    """Whether a sequence is attended with the ones before it: if none needs padding, or if all are short enough and
    enough of the square is pieces.
    """
    longest, padded = group[0], group[0] * (len(group) + 1)
    if padded > CHUNK_ROWS:
        return False
    return length == longest or (longest <= max_padded and sum(group) + length >= MIN_FILL * padded)


def _make_group(lengths: Sequence[int], device: torch.device) -> _Group:
    longest, pieces = lengths[0], sum(lengths)
    if longest == lengths[-1]:
        return _Group(len(lengths), longest, pieces)
    length = torch.tensor(lengths)[:, None]
    start = length.cumsum(dim=0) - length
    steps = torch.arange(longest)[None, :]
    rows = start + torch.minimum(steps, length - 1)  # (sequences, longest)
    padding = steps >= length  # (sequences, longest)
    real = (~padding).flatten().nonzero()[:, 0]
    moved = (to_device(x, device) for x in (rows.flatten(), real, padding))
    return _Group(len(lengths), longest, pieces, *moved)


def _places(lengths: Sequence[int], order: Sequence[int]) -> Tensor:
    """RETURNS (Tensor): The pieces of a batch in the given order of its sequences. Shape (pieces,)."""
    pieces = torch.arange(sum(lengths)).split(list(lengths))
    return torch.cat([pieces[i] for i in order])


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """RETURNS (Tensor): What was made on the CPU, on a device that does not have to be waited for."""
    if device.type != "cuda":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)
