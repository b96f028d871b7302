"""The best piece of a greedy step, found with an int8 copy of the language-modelling head.

The exact head is multiplied for its largest product alone. The copy reads a quarter of the bytes, and says how far
each of its products may be from the exact one: by Cauchy and Schwarz, a sum of products is at most the product of the
two lengths. The few pieces that can be the best by it are multiplied exactly.
"""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..bloom.heads import BloomLanguageModel
from ..bloom.lm_head import LinearLMHead, LMHead
from .half_layers import HalfLMHead
from .kernels import activation_range, find_kernel
from .product import largest_of, quantize_rows, scales_of

# Columns that the final layer norm makes largest stay in float: what the rest loses by rounding is less then.
FLOAT_COLUMNS = 8
# With more rows the exact product reads its weights once for all of them, and little is saved.
MOST_ROWS = 16
# Up to this share of all pieces is multiplied exactly after the copy: their rows are read, written together, and read
# again.
MOST_PIECES = 1 / 16
# What float32 rounds in a sum of products, as a share of the two lengths.
ROUNDING = 1e-5
# Products are told apart down to here: squares of smaller numbers are 0 in float32.
SMALLEST = 1e-20
PAIRS = {2: torch.int32, 4: torch.int64}  # by the bytes of one number
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
        parts, lengths = [], torch.empty(3, len(weight), dtype=torch.float32)
        for part, own_lengths in zip(weight.split(rows), lengths.split(rows, dim=1), strict=True):
            integers = torch.empty_like(part, dtype=torch.int8)
            scales = torch.empty(len(part), dtype=torch.float32)
            for start in range(0, len(part), step):
                some = slice(start, start + step)
                exact = part[some].float()
                rest = exact.index_fill(1, columns, 0.0)
                integers[some], scales[some] = quantize_rows(rest)
                rounded = integers[some].float() * scales[some, None]
                own_lengths[:, some] = torch.stack([_lengths(x) for x in (rest - rounded, rounded, exact)])
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
        return scores, (sizes @ self.lengths).add_(SMALLEST)


def may_be_best(scores: Tensor, reach: Tensor) -> Tensor:
    """RETURNS (Tensor): Which of a row's estimates may stand for its largest score. Shape (rows, vocab_size), bool."""
    return scores + reach >= (scores - reach).amax(dim=1, keepdim=True)


def _lengths(rows: Tensor) -> Tensor:
    return torch.linalg.vector_norm(rows, dim=1)


# By head, with the `row_sums` of what it was made of; heads of the same weights have the same copy. They are neither
# copied nor saved with the heads.
_copies: "WeakKeyDictionary[nn.Module, tuple[Tensor, Int8Copy]]" = WeakKeyDictionary()
_lock = Lock()


def copy_of(model: BloomLanguageModel) -> Int8Copy:
    """RETURNS (Int8Copy): The copy of a model's head as it is now, made if there is none. Every weight is read for
    that: no counter of torch's knows of what is written through `.data` or by other libraries.
    """
    head: Any = model.lm_head
    weight = head.weight.detach()
    with _lock:
        sums = row_sums(weight)
        same = [known for known in _copies.values() if torch.equal(known[0], sums)]
        _copies.pop(head, None)  # two copies of one head are not held at once
        _copies[head] = same[0] if same else (sums, Int8Copy.of(weight, _largest_columns(model)))
        return _copies[head][1]


def _largest_columns(model: BloomLanguageModel) -> Tensor:
    gains = model.transformer.ln_f.weight.detach().abs()
    return gains.topk(min(FLOAT_COLUMNS, len(gains))).indices.sort().values


def row_sums(weight: Tensor) -> Tensor:
    """RETURNS (Tensor): Sums that tell a weight from another: of its bits, two numbers as one integer where they can be
    read so, which goes as fast as memory. Shape (rows,).
    """
    if weight.shape[1] % 2 or weight.storage_offset() % 2:
        return weight.float().sum(dim=1)
    integers = PAIRS[weight.element_size()]
    return weight.view(integers).sum(dim=1, dtype=integers)


class Shortlist:
    """Chooses best pieces for one run of generation. The copy of the head stays for further runs.

    model (BloomLanguageModel): With a head that `has_shortlist`.
    """

    def __init__(self, model: BloomLanguageModel) -> None:
        self.head: Any = model.lm_head
        self.copy = copy_of(model)

    def best(self, hidden: Tensor, forbid: Callable[[Tensor], Tensor]) -> Tensor:
        """
        hidden (Tensor): Hidden states of the places to score. Shape (rows, hidden_size).
        forbid (Callable): Makes scores -inf where a piece must not follow, whatever the scores are.
        RETURNS (Tensor): The allowed piece with the largest logit of each row. Shape (rows,), int64.
        """
        # Half precision rounds scores until many are equal.
        if len(hidden) <= MOST_ROWS and not torch.is_autocast_enabled("cpu"):
            rows = hidden.float()
            places = self._possible(rows, forbid)
            if places is not None:
                scores = rows.new_full((len(rows), self.head.vocab_size), -torch.inf)
                return scores.index_put_(places, self._exact(rows, *places)).argmax(dim=1)
        return forbid(self.head.logits(hidden)).argmax(dim=1)

    def _possible(self, rows: Tensor, forbid: Callable[[Tensor], Tensor]) -> tuple[Tensor, ...] | None:
        """RETURNS (tuple[Tensor, Tensor] | None): The places and the pieces that may be the best ones there. Shapes
        (pairs,). None if there are too many, or numbers that are none.
        """
        scores, reach = self.copy.estimate(rows)
        if not scores.sum().isfinite():
            return None
        possible = may_be_best(forbid(scores), reach)
        places = possible.nonzero(as_tuple=True)
        few = len(places[0]) <= MOST_PIECES * self.head.vocab_size
        return places if few and possible.any(dim=1).all() else None

    def _exact(self, rows: Tensor, places: Tensor, pieces: Tensor) -> Tensor:
        """RETURNS (Tensor): The logit of a piece at a place, for pairs of them. Each is a sum by itself: its rounding
        does not depend on the others, so that equal pieces stay equal.
        """
        return (self.head.weight[pieces].float() * rows[places]).sum(dim=1)


def has_shortlist(head: LMHead) -> bool:
    """RETURNS (bool): Whether a head's best pieces can be found so: it is on the CPU, with weights in float32, or in
    16 bits beside float32 activations. An int8 head needs no copy; those that are divided or that accelerate moves have
    none.
    """
    kinds = {LinearLMHead: (torch.float32,), HalfLMHead: (torch.float16, torch.bfloat16)}
    weight: Any = head.weight if type(head) in kinds else None
    return (
        weight is not None
        and weight.dtype in kinds[type(head)]
        and weight.device.type == "cpu"
        and weight.is_contiguous()
    )
