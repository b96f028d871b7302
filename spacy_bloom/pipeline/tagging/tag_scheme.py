"""Tagging schemes of spans (BIO, BILUO, BIOES, IO): what may follow what, and the best legal sequence."""

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy
from numpy.typing import NDArray

Floats = NDArray[numpy.float32]
PREFIXES = {"B": "B", "I": "I", "L": "L", "U": "U", "E": "L", "S": "U"}  # BIOES in the letters of BILUO
OUTSIDE = "O"
FORBIDDEN = -numpy.inf


def parse_tag(tag: str) -> tuple[str, str]:
    """RETURNS (tuple[str, str]): Prefix and label of a tag. A tag without a prefix is a label that goes on
    for as long as it is repeated (IO).
    """
    if tag == OUTSIDE:
        return OUTSIDE, ""
    prefix, dash, label = tag.partition("-")
    if dash and prefix in PREFIXES and label:
        return PREFIXES[prefix], label
    return "I", tag


def span_tags(labels: Iterable[str]) -> list[str]:
    """RETURNS (list[str]): The tags of span labels, in BIO: B-X, I-X, B-Y, ..."""
    return [f"{prefix}-{label}" for label in labels for prefix in "BI"]


@lru_cache(maxsize=64)
def tag_scheme(tags: tuple[str, ...]) -> "TagScheme":
    """RETURNS (TagScheme): Of a list of tags, made once."""
    return TagScheme(tags)


class TagScheme:
    """What is legal among a list of tags, whichever scheme they follow.

    tags (Sequence[str]): The tags, in the order of a classifier's outputs.
    """

    def __init__(self, tags: Sequence[str]) -> None:
        self.tags = list(tags)
        self.parsed = [parse_tag(tag) for tag in tags]
        starting = {label for prefix, label in self.parsed if prefix in "BU"}
        self._closing = {label for prefix, label in self.parsed if prefix == "L"}
        n = len(tags)
        self.follows = numpy.zeros((n, n), dtype=bool)  # (previous tag, next tag)
        for i, previous in enumerate(self.parsed):
            for j, following in enumerate(self.parsed):
                self.follows[i, j] = self._may_follow(previous, following, starting)
        outside = (OUTSIDE, "")
        self.starts = numpy.array(
            [self._may_follow(outside, tag, starting) for tag in self.parsed], dtype=bool
        )
        self.ends = numpy.array([not self._must_go_on(tag) for tag in self.parsed], dtype=bool)

    def _must_go_on(self, tag: tuple[str, str]) -> bool:
        prefix, label = tag
        return prefix in "BI" and label in self._closing

    def _may_follow(self, previous: tuple[str, str], following: tuple[str, str], starting: set[str]) -> bool:
        prefix, label = following
        if prefix in "IL":
            goes_on = previous[0] in "BI" and previous[1] == label
            # Labels without a starting tag (IO) start with I.
            return goes_on or (label not in starting and not self._must_go_on(previous))
        return not self._must_go_on(previous)

    def decode(self, scores: Floats) -> NDArray[numpy.int64]:
        """The legal sequence with the highest sum of scores (Viterbi).

        scores (Floats): Log-probabilities. Shape (tokens, tags).
        RETURNS (NDArray): Tag indices. Shape (tokens,).
        """
        best = scores.argmax(axis=1)
        if not len(best) or self._is_legal(best):
            return best  # nothing scores higher than the best tag of every token
        scores = scores.astype(numpy.float64)  # sums over long Docs
        penalty = numpy.where(self.follows, 0.0, FORBIDDEN)  # (previous, next)
        path = numpy.zeros(scores.shape, dtype=numpy.int64)
        total = scores[0] + numpy.where(self.starts, 0.0, FORBIDDEN)
        for i in range(1, len(scores)):
            candidates = total[:, None] + penalty  # (previous, next)
            path[i] = candidates.argmax(axis=0)
            total = candidates.max(axis=0) + scores[i]
        tags = [int((total + numpy.where(self.ends, 0.0, FORBIDDEN)).argmax())]
        for i in range(len(scores) - 1, 0, -1):
            tags.append(int(path[i, tags[-1]]))
        return numpy.array(tags[::-1])

    def _is_legal(self, tags: NDArray[numpy.int64]) -> bool:
        return bool(self.starts[tags[0]] and self.ends[tags[-1]] and self.follows[tags[:-1], tags[1:]].all())

    def spans(self, tags: Iterable[int]) -> list[tuple[int, int, str]]:
        """RETURNS (list[tuple[int, int, str]]): Start, end and label of each span of a legal sequence."""
        spans: list[tuple[int, int, str]] = []
        open_label = None
        for i, tag in enumerate(tags):
            prefix, label = self.parsed[tag]
            goes_on = prefix in "IL" and label == open_label
            if goes_on:
                spans[-1] = (spans[-1][0], i + 1, label)
            elif prefix != OUTSIDE:
                spans.append((i, i + 1, label))
            open_label = label if prefix in "BI" else None
        return spans
