"""Spans that may not overlap."""

from collections.abc import Iterable

from spacy.tokens import Span


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
