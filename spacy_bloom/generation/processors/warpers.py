"""Warpers restrict sampling to the best pieces, by several measures. Each keeps at least the best one.

Numerically as in Hugging Face.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..rows import Row

# Number of best pieces that are ranked first. If they suffice, the rest of a large vocabulary is not sorted: 3 ms a
# row instead of 30 on CPU with BLOOM's 250,880.
HEAD = 8192
# How much more probable the head must be than required, to rule out rounding.
MARGIN = 1e-4


class Temperature:
    """Divides the scores: below 1 the best pieces become more probable.

    temperature (float): Above 0.
    """

    def __init__(self, temperature: float) -> None:
        self.temperature = temperature

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """See LogitsProcessor."""
        return scores.div_(self.temperature)


class TopK:
    """Keeps the best pieces, and those that are as good as the last of them.

    top_k (int): How many.
    keep (int): Minimum number of pieces to keep.
    """

    def __init__(self, top_k: int, *, keep: int = 1) -> None:
        self.top_k = max(top_k, keep)

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """See LogitsProcessor."""
        best = scores.topk(min(self.top_k, scores.shape[-1]))[0]  # (rows, top_k)
        return scores.masked_fill_(scores < best[:, -1:], -torch.inf)


class TopP:
    """Keeps the smallest set of best pieces that together reach a probability.

    top_p (float): The probability.
    keep (int): Minimum number of pieces to keep.
    SOURCE: https://arxiv.org/abs/1904.09751
    """

    def __init__(self, top_p: float, *, keep: int = 1) -> None:
        self.top_p = top_p
        self.keep = keep

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """See LogitsProcessor."""
        if scores.shape[-1] > 2 * HEAD >= 2 * self.keep:
            best, places = scores.topk(HEAD)  # (rows, HEAD), the best first
            probabilities = (best.double() - scores.double().logsumexp(-1, keepdim=True)).exp()
            reached = probabilities.cumsum(-1)
            if bool(((reached[:, -1] >= self.top_p + MARGIN) | best[:, -1].isneginf()).all()):
                removed = reached - probabilities >= self.top_p
                removed[:, : self.keep] = False
                best.masked_fill_(removed, -torch.inf)
                return scores.fill_(-torch.inf).scatter_(1, places, best)
        # Summed from the least probable on, in float32, as Hugging Face does: ties are decided by rounding.
        ascending, places = scores.sort()  # (rows, vocab_size)
        removed = ascending.softmax(dim=-1).cumsum(dim=-1) <= 1 - self.top_p
        removed[:, -self.keep :] = False
        return scores.masked_fill_(removed.scatter(1, places, removed), -torch.inf)


class MinP:
    """Keeps pieces that are not much less probable than the best one.

    min_p (float): Minimum probability, relative to that of the best piece.
    keep (int): Minimum number of pieces to keep.
    SOURCE: https://arxiv.org/abs/2407.01082
    """

    def __init__(self, min_p: float, *, keep: int = 1) -> None:
        self.min_p = min_p
        self.keep = keep

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """See LogitsProcessor."""
        probabilities = scores.softmax(dim=-1)  # (rows, vocab_size)
        removed = probabilities < self.min_p * probabilities.amax(dim=-1, keepdim=True)
        best = scores.topk(min(self.keep, scores.shape[-1]))[1]  # (rows, keep)
        return scores.masked_fill_(removed.scatter(1, best, False), -torch.inf)


class Typical:
    """Keeps the pieces whose surprisal is closest to the expected one, until they together reach a probability.

    typical_p (float): The probability.
    keep (int): Minimum number of pieces to keep.
    SOURCE: https://arxiv.org/abs/2202.00666
    """

    def __init__(self, typical_p: float, *, keep: int = 1) -> None:
        self.typical_p = typical_p
        self.keep = keep

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """See LogitsProcessor."""
        logs = scores.log_softmax(dim=-1)  # (rows, vocab_size)
        probabilities = logs.exp()
        expected = -(logs * probabilities).nansum(-1, keepdim=True)  # entropy, in nats
        distance = (-logs - expected).abs()
        limit, closest = self._limit(scores, distance, probabilities)
        removed = (distance > limit).scatter(1, closest[:, : self.keep], False)
        return scores.masked_fill_(removed, -torch.inf)

    def _limit(self, scores: Tensor, distance: Tensor, probabilities: Tensor) -> tuple[Tensor, Tensor]:
        """RETURNS (tuple[Tensor, Tensor]): The largest distance to keep, and at least `keep` pieces in the order of
        their distance. Shapes (rows, 1) and (rows, pieces).
        """
        if distance.shape[-1] > 2 * HEAD >= 2 * self.keep:
            near, closest = distance.topk(HEAD, largest=False)  # (rows, HEAD)
            reached = probabilities.gather(1, closest).cumsum(-1)
            if bool((reached[:, -1] >= self.typical_p + MARGIN).all()):
                return near.gather(1, (reached < self.typical_p).sum(-1, keepdim=True)), closest
        near, closest = distance.sort()  # (rows, vocab_size)
        reached = scores.gather(1, closest).softmax(-1).cumsum(-1)
        last = (reached < self.typical_p).sum(-1, keepdim=True).clamp(max=distance.shape[-1] - 1)
        return near.gather(1, last), closest


class Epsilon:
    """Keeps pieces of at least a probability.

    epsilon (float): The probability.
    keep (int): Minimum number of pieces to keep.
    SOURCE: https://arxiv.org/abs/2210.15191
    """

    def __init__(self, epsilon: float, *, keep: int = 1) -> None:
        self.epsilon = epsilon
        self.keep = keep

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """See LogitsProcessor."""
        return _at_least(scores, scores.softmax(dim=-1) < self.epsilon, self.keep)


class Eta:
    """Keeps pieces of at least a probability that is lower where many are likely.

    eta (float): The probability if one piece is certain; it falls with the entropy.
    keep (int): Minimum number of pieces to keep.
    SOURCE: https://arxiv.org/abs/2210.15191
    """

    def __init__(self, eta: float, *, keep: int = 1) -> None:
        self.eta = eta
        self.keep = keep

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """See LogitsProcessor."""
        probabilities = scores.softmax(dim=-1)  # (rows, vocab_size)
        entropy = -(probabilities * scores.log_softmax(dim=-1)).nansum(-1, keepdim=True)
        limit = (math.sqrt(self.eta) * (-entropy).exp()).clamp(max=self.eta)
        return _at_least(scores, probabilities < limit, self.keep)


def _at_least(scores: Tensor, removed: Tensor, keep: int) -> Tensor:
    """RETURNS (Tensor): The scores without what is removed, but with the best pieces. Shape (rows, vocab_size)."""
    best = scores.topk(min(keep, scores.shape[-1]))[0]  # (rows, keep)
    return scores.masked_fill_(removed & (scores < best[:, -1:]), -torch.inf)
