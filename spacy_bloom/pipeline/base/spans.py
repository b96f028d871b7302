"""Where spans may be: not on top of each other, and not on white space alone."""

from collections.abc import Iterable

import numpy
from numpy.typing import NDArray
from spacy.attrs import IS_SPACE, LENGTH
from spacy.tokens import Doc, Span


def edge_tokens(doc: Doc) -> NDArray[numpy.bool_]:
    """RETURNS (NDArray): Tokens that a span may begin and end with: those that are not white space. Shape (tokens,)."""
    array = doc.to_array([LENGTH, IS_SPACE]).reshape(-1, 2)
    return (array[:, 0] > 0) & (array[:, 1] == 0)


def without_overlap(spans: Iterable[Span]) -> list[Span]:
    """RETURNS (list[Span]): The spans, without those that overlap an earlier one. (spaCy's `filter_spans` keeps the
    longest.)
    """
    taken: set[int] = set()
    free = []
    for span in spans:
        tokens = range(span.start, span.end)
        if taken.isdisjoint(tokens):
            taken.update(tokens)
            free.append(span)
    return free
