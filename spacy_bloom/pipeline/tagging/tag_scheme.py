"""Tagging schemes of spans (BIO, BILUO, BIOES, IO): what may follow what, and the best legal sequence."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

import numpy
from numpy.typing import NDArray

Floats = NDArray[numpy.float32]
Parsed = tuple[str, str]  # prefix and label
PREFIXES = {"B": "B", "I": "I", "L": "L", "U": "U", "E": "L", "S": "U"}  # BIOES in the letters of BILUO
OUTSIDE = "O"
FORBIDDEN = -numpy.inf


def parse_tag(tag: str) -> Parsed:
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
        follows = self._pairs(lambda one, two: self._may_follow(one, two, starting))
        goes_on = self._pairs(self._goes_on)
        outside = numpy.array([tag == (OUTSIDE, "") for tag in self.parsed], dtype=bool)  # (tags,)
        middle = numpy.array([prefix == "I" for prefix, _ in self.parsed], dtype=bool)
        # A blank token is outside or in the middle of a span; without a tag for outside, no token counts as blank.
        self._knows_blanks = bool(outside.any())
        to_blank, from_blank = outside | (goes_on & middle), outside[:, None] | goes_on
        # (previous is blank, next is blank, previous tag, next tag)
        self.follows = numpy.array(
            [
                [follows, follows & to_blank],
                [follows & from_blank, follows & from_blank & to_blank],
            ]
        )
        starts = [self._may_follow((OUTSIDE, ""), tag, starting) for tag in self.parsed]
        ends = [not self._must_go_on(tag) for tag in self.parsed]
        self.starts, self.ends = (
            numpy.array([may, may & outside]) for may in (starts, ends)
        )  # (is blank, tag)

    def _pairs(self, rule: Callable[[Parsed, Parsed], bool]) -> NDArray[numpy.bool_]:
        """RETURNS (NDArray): What a rule says of every two tags. Shape (previous tag, next tag)."""
        return numpy.array([[rule(one, two) for two in self.parsed] for one in self.parsed], dtype=bool)

    def _must_go_on(self, tag: Parsed) -> bool:
        prefix, label = tag
        return prefix in "BI" and label in self._closing

    def _may_follow(self, previous: Parsed, following: Parsed, starting: set[str]) -> bool:
        if following[0] in "IL":
            # Labels without a starting tag (IO) start with I.
            starts = following[1] not in starting and not self._must_go_on(previous)
            return starts or self._goes_on(previous, following)
        return not self._must_go_on(previous)

    def _goes_on(self, previous: Parsed, following: Parsed) -> bool:
        return previous[0] in "BI" and following[0] in "IL" and previous[1] == following[1]

    def decode(self, scores: Floats, blank: NDArray[numpy.bool_] | None = None) -> NDArray[numpy.int64]:
        """The legal sequence with the highest sum of scores (Viterbi).

        scores (Floats): Log-probabilities. Shape (tokens, tags).
        blank (NDArray | None): Tokens that no span may begin, end or consist of. Shape (tokens,).
        RETURNS (NDArray): Tag indices. Shape (tokens,).
        """
        best = scores.argmax(axis=1)
        if self.is_legal(best, blank):
            return best  # nothing scores higher than the best tag of every token
        kinds = self._kinds(len(best), blank)
        scores = scores.astype(numpy.float64)  # sums over long Docs
        penalty = numpy.where(self.follows, 0.0, FORBIDDEN)  # (blank, blank, previous, next)
        path = numpy.zeros(scores.shape, dtype=numpy.int64)
        total = scores[0] + numpy.where(self.starts[kinds[0]], 0.0, FORBIDDEN)
        for i in range(1, len(scores)):
            candidates = total[:, None] + penalty[kinds[i - 1], kinds[i]]  # (previous, next)
            path[i] = candidates.argmax(axis=0)
            total = candidates.max(axis=0) + scores[i]
        tags = [int((total + numpy.where(self.ends[kinds[-1]], 0.0, FORBIDDEN)).argmax())]
        for i in range(len(scores) - 1, 0, -1):
            tags.append(int(path[i, tags[-1]]))
        return numpy.array(tags[::-1])

    def _kinds(self, length: int, blank: NDArray[numpy.bool_] | None) -> NDArray[numpy.int64]:
        """RETURNS (NDArray): 1 for tokens that count as blank, else 0. Shape (tokens,)."""
        if blank is None or not self._knows_blanks:
            return numpy.zeros(length, dtype=numpy.int64)
        return blank.astype(numpy.int64)

    def is_legal(self, tags: NDArray[numpy.int64], blank: NDArray[numpy.bool_] | None = None) -> bool:
        """RETURNS (bool): Whether the tags may stand in this order; `blank` as for `decode`."""
        if not len(tags):
            return True
        kinds = self._kinds(len(tags), blank)
        follow = self.follows[kinds[:-1], kinds[1:], tags[:-1], tags[1:]]
        return bool(self.starts[kinds[0], tags[0]] and self.ends[kinds[-1], tags[-1]] and follow.all())

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
