"""A linear-chain conditional random field: loss, marginals and best paths of many texts at once.

All functions take logits of shape (texts, tokens, tags), padded at the end; `mask` of shape (texts, tokens), true for
tokens; `scores` of shape (tags + 1, tags): what it adds that one tag follows another, in the last row that it comes
first; and `ends` of shape (tags,): what it adds that a tag comes last.

SOURCE: Lafferty, McCallum and Pereira 2001 (Conditional Random Fields).
"""

from collections.abc import Sequence
from typing import Any

from thinc.api import get_array_module

Array = Any  # numpy's or CuPy's
# Of what may not be: finite, so that a text with no legal path has a large loss and no NaN.
FORBIDDEN = -1e4


def pad(logits: Sequence[Array]) -> tuple[Array, Array]:
    """logits (Sequence[Array]): Of each text. Shape (tokens, tags).
    RETURNS (tuple[Array, Array]): Logits and mask. Shapes (texts, tokens, tags) and (texts, tokens).
    """
    xp = get_array_module(logits[0])
    longest = max(len(x) for x in logits)
    padded = xp.zeros((len(logits), longest, logits[0].shape[1]), dtype="float32")
    mask = xp.zeros((len(logits), longest), dtype=bool)
    for i, x in enumerate(logits):
        padded[i, : len(x)] = x
        mask[i, : len(x)] = True
    return padded, mask


def loss_and_gradients(
    logits: Array, mask: Array, gold: Array, scores: Array, ends: Array
) -> tuple[float, Array, Array]:
    """Minus the log probability of the gold tags, summed over texts. Where a tag is missing, all tags count.

    gold (Array): Indices, -1 where missing. Shape (texts, tokens).
    RETURNS (tuple[float, Array, Array]): The loss in nats, and its gradients by logits and scores.
    """
    xp = get_array_module(logits)
    tags = xp.arange(logits.shape[2])
    allowed = (gold[:, :, None] < 0) | (gold[:, :, None] == tags)
    clamped = logits + xp.where(allowed, 0.0, FORBIDDEN).astype("float32")
    every, d_logits, d_scores = _expectations(logits, mask, scores, ends)
    right, d_right, d_right_scores = _expectations(clamped, mask, scores, ends)
    return float((every - right).sum()), d_logits - d_right, d_scores - d_right_scores


def marginals(logits: Array, mask: Array, scores: Array, ends: Array) -> Array:
    """RETURNS (Array): Probability of each tag of each token, over all paths; 0 in the padding. Shape as logits."""
    return _expectations(logits, mask, scores, ends)[1]


def best_paths(logits: Array, mask: Array, scores: Array, ends: Array) -> Array:
    """RETURNS (Array): The tags of the path with the highest score (Viterbi); 0 in the padding.
    Shape (texts, tokens), int64.
    """
    xp = get_array_module(logits)
    texts, length, n = logits.shape
    stay = xp.broadcast_to(xp.arange(n), (texts, n))
    total = logits[:, 0] + scores[-1]  # (texts, tags)
    before = []
    for t in range(1, length):
        candidates = total[:, :, None] + scores[:-1]  # (texts, previous, next)
        here = mask[:, t, None]
        before.append(xp.where(here, candidates.argmax(axis=1), stay))
        total = xp.where(here, candidates.max(axis=1) + logits[:, t], total)
    tags = xp.zeros((texts, length), dtype="int64")
    tags[:, -1] = (total + ends).argmax(axis=1)
    for t in range(length - 1, 0, -1):
        tags[:, t - 1] = xp.take_along_axis(before[t - 1], tags[:, t, None], axis=1)[:, 0]
    return xp.where(mask, tags, 0)


def _expectations(logits: Array, mask: Array, scores: Array, ends: Array) -> tuple[Array, Array, Array]:
    """The forward-backward algorithm.

    RETURNS (tuple[Array, Array, Array]): Log of the sum over all paths by text; how often each tag is expected of each
        token; and each pair of scores. Shapes (texts,), (texts, tokens, tags) and (tags + 1, tags).
    """
    xp = get_array_module(logits)
    length = logits.shape[1]
    forward = [logits[:, 0] + scores[-1]]
    for t in range(1, length):
        step = _log_sum(forward[-1][:, :, None] + scores[:-1], axis=1) + logits[:, t]
        forward.append(xp.where(mask[:, t, None], step, forward[-1]))
    log_z = _log_sum(forward[-1] + ends, axis=1)  # (texts,)
    expected, pairs = xp.zeros_like(logits), xp.zeros_like(scores)
    backward = xp.broadcast_to(ends, forward[-1].shape)
    for t in range(length - 1, -1, -1):
        here = mask[:, t, None]
        expected[:, t] = xp.where(here, xp.exp(forward[t] + backward - log_z[:, None]), 0.0)
        if t == 0:
            pairs[-1] = expected[:, 0].sum(axis=0)
            break
        following = logits[:, t] + backward  # (texts, next)
        joint = forward[t - 1][:, :, None] + scores[:-1] + following[:, None]
        # (previous, next)
        pairs[:-1] += xp.where(here[:, None], xp.exp(joint - log_z[:, None, None]), 0.0).sum(axis=0)
        backward = xp.where(here, _log_sum(scores[:-1] + following[:, None], axis=2), backward)
    return log_z, expected, pairs


def _log_sum(values: Array, axis: int) -> Array:
    largest = values.max(axis=axis, keepdims=True)
    xp = get_array_module(values)
    return xp.log(xp.exp(values - largest).sum(axis=axis)) + largest.squeeze(axis)
