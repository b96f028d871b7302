"""Layers that hold a rank's part of their weights, in the places of a model's own.

A layer cut by rows needs nothing: its output is as wide as its weight. One cut by columns adds up what the ranks have.
An embedding has some rows on each rank, and so has the head, which joins or compares its logits.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..bloom.lm_head import LinearLMHead, LMHead
from ..bloom.losses import IGNORED_LABEL, sum_dtype
from ..bloom.product import product
from ..quantization.half_layers import HalfEmbedding, HalfLinear, HalfLMHead
from ..quantization.half_product import half_product
from ..quantization.layers import Int8Embedding, Int8Linear, Int8LMHead
from ..quantization.product import largest_of, rounded_product
from .exchange import add_up, gather, gather_columns, take_largest
from .tensor_placement import TensorPlacement


class SummedLinear(nn.Linear):
    """A linear layer of which a rank has some columns. The bias is added to the sum.

    weight (Tensor): Shape (features, own columns). bias (Tensor): Shape (features,).
    """

    def forward(self, inner: Tensor) -> Tensor:
        """
        inner (Tensor): Shape (*leading, own columns).
        RETURNS (Tensor): Shape (*leading, features), the same on all ranks.
        """
        return add_up(product(inner, self.weight)).add_(self.bias)


class SummedHalfLinear(HalfLinear):
    """The same with weights in 16 bits. weight (Tensor): Shape (features, own columns)."""

    def forward(self, inner: Tensor) -> Tensor:
        """As of SummedLinear."""
        rows = inner.reshape(-1, self.in_features).float()
        total = add_up(half_product(rows, self.weight, self.packed())).add_(self.bias)  # (rows, features)
        return total.view(*inner.shape[:-1], self.out_features).to(inner.dtype)


class SummedInt8Linear(Int8Linear):
    """The same with int8 weights. Activations are rounded by the largest number that any rank has in their row, and
    integers are added up: as long as these sums stay below 2**24, which float32 holds, the result is that of the whole
    layer, bit for bit. Columns in float are few: all ranks multiply all of them.

    weight (Tensor): Shape (features, own columns), int8.
    float_weight (Tensor | None): Of all ranks' columns in float. Shape (features, kept).
    own_kept (Tensor): This rank's columns in float, by their places among its own. Shape (own kept,), int64.
    kept_widths (list[int]): Number of columns in float of each rank.
    """

    own_kept: Tensor
    kept_widths: list[int]
    ones: Tensor

    def cut(self, placement: TensorPlacement) -> None:
        """Note which of the columns in float are this rank's."""
        columns, spans = self.float_columns, placement.spans(self.in_features)
        inside = [(columns >= span.start) & (columns < span.stop) for span in spans]
        own = spans[placement.rank]
        self.kept_widths = [int(some.sum()) for some in inside]
        self.own_kept = columns[inside[placement.rank]] - own.start
        self.in_features = own.stop - own.start
        self.ones = torch.ones_like(self.weight_scale)

    def packed(self) -> Any:
        """RETURNS (Any): The weight as the kernel reads it, without scales: integers are added up."""
        return self._packed.of(self.weight, self.ones)

    def forward(self, inner: Tensor) -> Tensor:
        """
        inner (Tensor): Shape (*leading, own columns).
        RETURNS (Tensor): Shape (*leading, features), in the dtype of inner, the same on all ranks.
        """
        rows = inner.reshape(-1, self.in_features).float()
        rest = rows.index_fill(1, self.own_kept, 0.0) if len(self.own_kept) else rows
        largest, kept = self._agree(largest_of(rest), rows[:, self.own_kept])
        integers, row_scales = rounded_product(rest, largest, self.packed(), self.ones)
        total = add_up(integers).mul_(self.weight_scale)  # (rows, features)
        if self.float_weight is None:
            total = (
                total.mul_(row_scales) if self.bias is None else torch.addcmul(self.bias, total, row_scales)
            )
        else:
            total = total.mul_(row_scales) + F.linear(kept, self.float_weight, self.bias)
        return total.view(*inner.shape[:-1], self.out_features).to(inner.dtype)

    def _agree(self, largest: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
        """
        largest (Tensor): Of this rank's rows. Shape (rows, 1).
        kept (Tensor): Activations of its columns in float. Shape (rows, own kept).
        RETURNS (tuple[Tensor, Tensor]): The same of all ranks, in one exchange. Shapes (rows, 1) and (rows, kept).
        """
        if self.float_weight is None:
            return take_largest(largest), kept
        widest = max(self.kept_widths)
        parts = gather(torch.cat((largest, F.pad(kept, (0, widest - kept.shape[1]))), dim=1))
        own = zip(parts, self.kept_widths, strict=True)
        return parts[:, :, :1].amax(dim=0), torch.cat([part[:, 1 : 1 + width] for part, width in own], dim=1)


class OwnRows(nn.Module):
    """An embedding of which a rank has some rows; the others add theirs.

    first (int): The first of its rows.
    own_rows (int): How many.
    """

    first: int
    own_rows: int

    def forward(self, ids: Tensor) -> Tensor:
        """RETURNS (Tensor): Rows, the same on all ranks. Shape (*ids.shape, hidden_size)."""
        places, outside = own_places(ids, self.first, self.own_rows)
        return add_up(super().forward(places).masked_fill_(outside[..., None], 0.0))


class DividedEmbedding(OwnRows, nn.Embedding):
    """See OwnRows. weight (Tensor): Shape (own rows, hidden_size)."""


class DividedHalfEmbedding(OwnRows, HalfEmbedding):
    """See OwnRows. weight (Tensor): Shape (own rows, hidden_size), in 16 bits."""


class DividedInt8Embedding(OwnRows, Int8Embedding):
    """See OwnRows. weight (Tensor): Shape (own rows, hidden_size), int8."""


class DividedHead(LMHead):
    """A head of which a rank has the rows of some pieces. What is asked about all pieces is put together of what each
    rank says about its own; likelihoods need three numbers of each rank, not its logits.

    first (int): The first of its pieces.
    widths (list[int]): Pieces of each rank.
    """

    first: int
    widths: list[int]

    def forward(self, hidden: Tensor) -> Tensor:
        """See LMHead."""
        return gather_columns(super().forward(hidden), self.widths)

    def logits(self, hidden: Tensor, *, pieces: Tensor | None = None) -> Tensor:
        """See LMHead."""
        if pieces is None:
            return self(hidden).float()
        places, outside = own_places(pieces, self.first, self.own_width)
        return add_up(super().logits(hidden, pieces=places).masked_fill_(outside, 0.0))

    @property
    def own_width(self) -> int:
        """RETURNS (int): Number of this rank's pieces."""
        return self.get_parameter("weight").shape[0]

    @torch.no_grad()
    def nll(self, hidden: Tensor, labels: Tensor, *, chunk_size: int | None = None) -> Tensor:
        """See LMHead."""
        size = self._chunk_size(chunk_size)
        found = [hidden.new_zeros(0, dtype=sum_dtype(hidden))]
        for some, own in zip(hidden.split(size), labels.split(size), strict=True):
            scores = super().forward(some).to(sum_dtype(some))  # (places, own pieces)
            places, outside = own_places(own, self.first, self.own_width)
            chosen = scores.gather(1, places[:, None])[:, 0].masked_fill_(outside, 0.0)
            largest = take_largest(scores.amax(dim=1))  # (places,)
            sums = scores.sub_(largest[:, None]).exp_().sum(dim=1)
            sums, chosen = add_up(torch.stack((sums, chosen)))
            found.append((sums.log() + largest - chosen).masked_fill_(own == IGNORED_LABEL, 0.0))
        return torch.cat(found)

    @torch.no_grad()
    def set_nll(self, hidden: Tensor, members: Tensor, *, chunk_size: int | None = None) -> Tensor:
        """See LMHead."""
        other = ~members[self.first : self.first + self.own_width]
        found = [hidden.new_zeros(0, dtype=torch.float32)]
        for some in hidden.split(self._chunk_size(chunk_size)):
            scores = super().forward(some).float()  # (places, own pieces)
            both = torch.stack((scores, scores.masked_fill(other, -torch.inf)))  # of all, and of the set
            largest = take_largest(both.amax(dim=2))  # (2, places)
            sums = add_up(both.sub_(largest[..., None]).exp_().sum(dim=2))
            everything, chosen = sums.log() + largest
            found.append((everything - chosen).clamp_(min=0.0))
        return torch.cat(found)

    def loss(self, hidden: Tensor, labels: Tensor) -> Tensor:
        """See LMHead."""
        return LMHead.loss(self, hidden, labels)


class DividedLinearLMHead(DividedHead, LinearLMHead):
    """See DividedHead. weight (Tensor): Shape (own pieces, hidden_size)."""


class DividedHalfLMHead(DividedHead, HalfLMHead):
    """See DividedHead. weight (Tensor): Shape (own pieces, hidden_size), in 16 bits."""


class DividedInt8LMHead(DividedHead, Int8LMHead):
    """See DividedHead. weight (Tensor): Shape (own pieces, hidden_size), int8."""


# What a layer becomes: the first whose kind it is.
SUMMED = {Int8Linear: SummedInt8Linear, HalfLinear: SummedHalfLinear, nn.Linear: SummedLinear}
EMBEDDINGS = {
    Int8Embedding: DividedInt8Embedding,
    HalfEmbedding: DividedHalfEmbedding,
    nn.Embedding: DividedEmbedding,
}
HEADS = {Int8LMHead: DividedInt8LMHead, HalfLMHead: DividedHalfLMHead, LinearLMHead: DividedLinearLMHead}


def own_places(ids: Tensor, first: int, width: int) -> tuple[Tensor, Tensor]:
    """RETURNS (tuple[Tensor, Tensor]): Places of ids among a rank's rows, 0 for others; which are others."""
    places = ids - first
    outside = (places < 0) | (places >= width)
    return places.masked_fill(outside, 0), outside
