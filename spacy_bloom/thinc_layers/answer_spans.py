"""From the scores of pieces to answers, and from gold answers to gradients."""

from collections.abc import Sequence

import numpy
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from thinc.api import get_array_module
from thinc.types import Floats2d

from .pieces.question_windows import QuestionWindow, TokenPieces

Scored = tuple[int, int, float]  # first token, token after the last, score
Floats = NDArray[numpy.float32]


def best_spans(
    windows: Sequence[QuestionWindow],
    scores: Sequence[Floats],
    tokens: TokenPieces,
    readable: NDArray[numpy.bool_],
    *,
    n_best: int,
    max_tokens: int,
) -> list[Scored]:
    """The best answers to one question over all windows of its Doc.

    A span's score is that of its start and end minus that of "no answer" in the same window. Logits of different
    windows cannot be compared directly; how sure each window is that it holds the answer can.

    scores (Sequence[Floats]): Logits of start and end by window. Shape (pieces of the window, 2).
    readable (NDArray): Whether an answer can start and end with a token. Shape (tokens,).
    RETURNS (list[Scored]): At most n_best different spans, best first.
    """
    whole = [(w.start <= tokens.first) & (tokens.last < w.end) for w in windows]  # each (tokens,)
    # Tokens with more pieces than windows overlap by are read in every window that holds a part of them.
    cut = ~numpy.logical_or.reduce(whole)
    found: dict[tuple[int, int], float] = {}
    for window, logits, inside in zip(windows, scores, whole, strict=True):
        touched = (tokens.last >= window.start) & (tokens.first < window.end)
        places = numpy.flatnonzero(readable & (inside | (cut & touched)))
        for start, end, score in _best_of_window(window, logits, tokens, places, n_best, max_tokens):
            found[start, end] = max(score, found.get((start, end), -numpy.inf))
    ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return [(*span, score) for span, score in ranked[:n_best]]


def _best_of_window(
    window: QuestionWindow,
    logits: Floats,
    tokens: TokenPieces,
    places: NDArray[numpy.int64],
    n_best: int,
    max_tokens: int,
) -> list[Scored]:
    """The best spans between the given tokens, by comparing all combinations."""
    if not len(places):
        return []
    margins = logits[window.prefix :] - logits[window.prefix - 1]  # (pieces of the Doc, 2)
    offset, n_tokens = int(places[0]), int(places[-1] - places[0] + 1)
    width = min(max_tokens, n_tokens)
    starts = numpy.full(n_tokens, -numpy.inf, dtype="float32")
    ends = numpy.full(n_tokens + width - 1, -numpy.inf, dtype="float32")
    starts[places - offset] = margins[numpy.maximum(tokens.first[places], window.start) - window.start, 0]
    ends[places - offset] = margins[numpy.minimum(tokens.last[places], window.end - 1) - window.start, 1]
    spans = (starts[:, None] + sliding_window_view(ends, width)).ravel()  # of 1 to width tokens from each
    best = numpy.argsort(-spans, kind="stable")[:n_best]
    best = best[numpy.isfinite(spans[best])]
    first, more = numpy.divmod(best, width)
    return [
        (offset + int(f), offset + int(f + m) + 1, float(spans[i]))
        for i, f, m in zip(best, first, more, strict=True)
    ]


def span_loss(
    window: QuestionWindow, logits: Floats2d, answers: Sequence[tuple[int, int]]
) -> tuple[float, Floats2d]:
    """Mean of the cross entropies of start and end over the pieces that can be either: those of the Doc, and the last
    of the separator. That one stands for "no answer", and is the target if the window holds no complete answer.

    logits (Floats2d): Shape (pieces of the window, 2).
    answers (Sequence[tuple[int, int]]): First and last piece of each gold answer, in the Doc. The first one in
        the window is the target.
    RETURNS (tuple[float, Floats2d]): The loss in nats, and its gradient, of the same shape as the logits.
    """
    xp = get_array_module(logits)
    inside = [(f, e) for f, e in answers if window.start <= f and e < window.end]
    before = window.start - 1  # row 0 is no answer
    rows = [inside[0][0] - before, inside[0][1] - before] if inside else [0, 0]
    legal = logits[window.prefix - 1 :]
    shifted = legal - legal.max(axis=0)
    log_probs = shifted - xp.log(xp.exp(shifted).sum(axis=0))  # (1 + pieces of the Doc, 2)
    gradient = xp.zeros_like(logits)
    gradient[window.prefix - 1 :] = xp.exp(log_probs) / 2
    for column, row in enumerate(rows):
        gradient[window.prefix - 1 + row, column] -= 0.5
    return -float(log_probs[rows[0], 0] + log_probs[rows[1], 1]) / 2, gradient
