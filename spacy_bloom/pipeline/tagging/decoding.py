"""From logits to tags and probabilities, and from gold tags to gradients."""

from typing import Any

import numpy
from numpy.typing import NDArray
from thinc.types import Floats2d

from .gold_tags import MISSING
from .tag_scheme import TagScheme

Prediction = tuple[
    NDArray[numpy.int64], NDArray[numpy.float32]
]  # tag indices (tokens,), probabilities (tokens, tags)


def decode(logits: NDArray, scheme: TagScheme | None, blank: NDArray[numpy.bool_]) -> Prediction:
    """Tags of one Doc.

    logits (NDArray): Shape (tokens, tags).
    scheme (TagScheme | None): Which tags may follow which; None allows all.
    blank (NDArray): Tokens that no span may begin, end or consist of. Shape (tokens,).
    RETURNS (Prediction): The best tags that the scheme allows, and the probabilities of all tags.
    """
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probs = shifted - numpy.log(numpy.exp(shifted).sum(axis=1, keepdims=True))
    tags = log_probs.argmax(axis=1) if scheme is None else scheme.decode(log_probs, blank)
    return tags, numpy.exp(log_probs)


def no_tokens(n_tags: int) -> Prediction:
    """RETURNS (Prediction): That of a Doc without tokens."""
    return numpy.zeros((0,), dtype=numpy.int64), numpy.zeros((0, n_tags), dtype=numpy.float32)


def tag_loss(ops: Any, logits: Floats2d, gold: NDArray[numpy.int64]) -> tuple[float, Floats2d]:
    """Cross entropy, summed over the tokens.

    logits (Floats2d): Shape (tokens, tags).
    gold (NDArray): Tag indices, MISSING where there are none. Shape (tokens,).
    RETURNS (tuple[float, Floats2d]): The loss in nats, and its gradient.
    """
    rows = numpy.flatnonzero(gold != MISSING)
    gradient = ops.xp.zeros_like(logits)
    if not len(rows):
        return 0.0, gradient
    probabilities = ops.softmax(logits[rows])
    right = numpy.arange(len(rows)), gold[rows]
    loss = -float(ops.xp.log(probabilities[right] + 1e-12).sum())
    probabilities[right] -= 1.0
    gradient[rows] = probabilities
    return loss, gradient
