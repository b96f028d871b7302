"""The best piece of a greedy step, found with an int8 copy of the language-modelling head.

The exact head is multiplied for its largest product alone. The copy reads a quarter of the bytes, and says how far
each of its products may be from the exact one: by Cauchy and Schwarz, a sum of products is at most the product of the
two lengths. The few pieces that can be the best by it are multiplied exactly.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..bloom.heads import BloomLanguageModel
from ..bloom.lm_head import LinearLMHead, LMHead
from .half_layers import HalfLMHead
from .kernels import activation_range, find_kernel
from .packed_weight import PackedWeight
from .product import largest_of, quantize_rows, scales_of

# Columns that the final layer norm makes largest stay in float: what the rest loses by rounding is less then.
FLOAT_COLUMNS = 8
# With more rows the exact product reads its weights once for all of them, and little is saved.
MOST_ROWS = 16
# Up to this share of all pieces is multiplied exactly after the copy. Their rows are gathered first, which costs three
# times as much as multiplying them in place.
MOST_PIECES = 1 / 16
# What float32 rounds in a sum of products, as a share of the two lengths.
ROUNDING = 1e-5
# Elements that are packed at once: so much memory is given back to the system, where smaller parts leave holes in the
# heap, of up to four times their size. And elements that are in float32 at once.
PACKED_ELEMENTS, CHUNK_ELEMENTS = 2**25, 2**20


@dataclass(frozen=True)
class Int8Copy:
    """A head in 8 bits.

    parts (list): Its rows as the kernel reads them, in runs, and their scales.
    columns (Tensor): Which columns are left out. Shape (kept,), int64.
    kept (Tensor): Those columns. Shape (vocab_size, kept), float32.
    lengths (Tensor): Of each row: what rounding took, what it left, and the exact row. Shape (3, vocab_size), float32.
    """

    parts: list[tuple[Any, Tensor]]
    columns: Tensor
    kept: Tensor
    lengths: Tensor

    @classmethod
    def of(cls, weight: Tensor, columns: Tensor) -> "Int8Copy":
        """
        weight (Tensor): Any float dtype. Shape (vocab_size, hidden_size).
        columns (Tensor): Which stay in float. Shape (kept,), int64.
        RETURNS (Int8Copy): The copy.
        """
        kernel, size = find_kernel(weight.device.type), weight.shape[1]
        rows, step = max(PACKED_ELEMENTS // size, 1), max(CHUNK_ELEMENTS // size, 1)
        parts, lengths = [], torch.empty(3, len(weight))
        for part, known in zip(weight.split(rows), lengths.split(rows, dim=1), strict=True):
            integers, scales = torch.empty_like(part, dtype=torch.int8), torch.empty(len(part))
            for start in range(0, len(part), step):
                some = slice(start, start + step)
                exact = part[some].float()
                rest = exact.index_fill(1, columns, 0.0)
                integers[some], scales[some] = quantize_rows(rest)
                rounded = integers[some].float().mul_(scales[some, None])
                lost = rest.sub_(rounded)
                known[:, some] = torch.stack([_lengths(values) for values in (lost, rounded, exact)])
            parts.append((kernel.pack(integers, scales), scales))
        return cls(parts, columns, weight[:, columns].float(), lengths)

    def estimate(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """
        rows (Tensor): float32. Shape (rows, hidden_size).
        RETURNS (tuple[Tensor, Tensor]): Their products with the head, and how far each may be from the exact one.
            Shapes (rows, vocab_size).
        """
        numbers, kernel = activation_range(), find_kernel(rows.device.type)
        rest = rows.index_fill(1, self.columns, 0.0)
        scales = scales_of(largest_of(rest), numbers.limit)  # (rows, 1)
        steps = (rest / scales).round()
        totals = [kernel.multiply(steps, numbers, packed, own) for packed, own in self.parts]
        scores = torch.cat(totals, dim=1).mul_(scales).add_(F.linear(rows[:, self.columns], self.kept))
        lost = rest - steps * scales
        sizes = torch.stack([_lengths(part) for part in (rest, lost, rows * ROUNDING)], dim=1)  # (rows, 3)
        return scores, sizes @ self.lengths


def _lengths(rows: Tensor) -> Tensor:
    return torch.linalg.vector_norm(rows, dim=1)


# The copies of heads that have been asked for one. They are neither copied nor saved with the heads.
_copies: "WeakKeyDictionary[nn.Module, PackedWeight]" = WeakKeyDictionary()


class Shortlist:
    """Chooses best pieces for one run of generation. The head's copy stays for further runs, as long as its weight
    does.

    model (BloomLanguageModel): With a head that `has_shortlist`.
    """

    def __init__(self, model: BloomLanguageModel) -> None:
        self.head: Any = model.lm_head
        sizes = model.transformer.ln_f.weight.detach().abs()
        columns = sizes.topk(min(FLOAT_COLUMNS, len(sizes))).indices.sort().values
        self.packed = _copies.setdefault(self.head, PackedWeight(partial(Int8Copy.of, columns=columns)))

    def best(self, hidden: Tensor, forbid: Callable[[Tensor], Tensor]) -> Tensor:
        """
        hidden (Tensor): Hidden states of the places to score. Shape (rows, hidden_size).
        forbid (Callable): Makes scores -inf where a piece must not follow, whatever the scores are.
        RETURNS (Tensor): The allowed piece with the largest logit of each row. Shape (rows,), int64.
        """
        if len(hidden) <= MOST_ROWS:
            rows = hidden.float()
            copy: Int8Copy = self.packed.of(self.head.weight)
            scores, reach = copy.estimate(rows)
            scores = forbid(scores)
            least = (scores - reach).amax(dim=1, keepdim=True)
            places = (scores + reach >= least).nonzero(
                as_tuple=True
            )  # rows and pieces, both (possible pieces,)
            if 0 < len(places[0]) <= MOST_PIECES * self.head.vocab_size:
                return scores.fill_(-torch.inf).index_put_(places, self._exact(rows, *places)).argmax(dim=1)
        return forbid(self.head.logits(hidden)).argmax(dim=1)

    def _exact(self, rows: Tensor, places: Tensor, pieces: Tensor) -> Tensor:
        """RETURNS (Tensor): The logit of a piece at a place, for pairs of them. Each is a sum by itself: its rounding
        does not depend on the others, so that equal pieces stay equal.
        """
        return (self.head.weight[pieces].float() * rows[places]).sum(dim=1)


def has_shortlist(head: LMHead) -> bool:
    """RETURNS (bool): Whether a head's best pieces can be found so: it is on the CPU, with weights in float32, or in
    16 bits beside float32 activations. An int8 head needs no copy.
    """
    plain, half = type(head) is LinearLMHead, type(head) is HalfLMHead  # not what divides or places one
    return ((plain and head.weight.dtype == torch.float32) or half) and head.weight.device.type == "cpu"
