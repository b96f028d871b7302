"""Predicted tags written on Docs, beside what other components wrote or in its place."""

from collections.abc import Iterable, Sequence

import numpy
from numpy.typing import NDArray
from spacy.tokens import Doc, Span, SpanGroup

Place = tuple[int, int, str]  # start, end (exclusive) and label of a span


def span_scores(borders: Iterable[tuple[int, int]], scores: NDArray) -> NDArray:
    """The probability of each span: that of its least certain tag.

    borders (Iterable[tuple[int, int]]): Start and end (exclusive) of each span.
    scores (NDArray): Probability of the tag of each token. Shape (tokens,).
    RETURNS (NDArray): Shape (spans,).
    """
    return numpy.array([scores[start:end].min() for start, end in borders], dtype=scores.dtype)


def write_ents(doc: Doc, found: Iterable[Place], *, overwrite: bool) -> list[Span]:
    """Write entities. Without overwrite, existing ones and places where none may be (spaCy's blocked tokens) stay.

    RETURNS (list[Span]): Those that were written.
    """
    if overwrite:
        for token in doc:  # set_ents leaves the ids of entities that go
            token.ent_id = token.ent_kb_id = 0
        doc.set_ents(new := _free_spans(doc, found, []))
        return new
    # "B" without a type: no entity may be there
    blocked = [doc[i : i + 1] for i, token in enumerate(doc) if token.ent_iob == 3 and not token.ent_type]
    kept = list(doc.ents)
    new = _free_spans(doc, found, kept + blocked)
    doc.set_ents(kept + new, blocked=blocked)
    return new


def write_spans(doc: Doc, found: Iterable[Place], scores: NDArray, *, key: str, overwrite: bool) -> None:
    """Write spans and their scores to doc.spans[key].

    scores (NDArray): Probability of the tag of each token, see `span_scores`. Shape (tokens,).
    """
    kept = [] if overwrite else list(doc.spans.get(key, []))
    spans = _free_spans(doc, found, kept)
    known = [numpy.full(len(kept), numpy.nan), span_scores([(s.start, s.end) for s in spans], scores)]
    attrs = {"scores": numpy.concatenate(known).astype("float32")}
    doc.spans[key] = SpanGroup(doc, name=key, spans=kept + spans, attrs=attrs)


def write_attr(doc: Doc, labels: Iterable[str], *, attr: str, overwrite: bool) -> None:
    """Write an attribute of each token: "tag" or "pos"."""
    for token, label in zip(doc, labels, strict=True):
        if overwrite or not getattr(token, f"{attr}_"):
            setattr(token, f"{attr}_", label)


def write_probabilities(doc: Doc, probabilities: NDArray, *, attr: str, tags: Sequence[str]) -> None:
    """Write a dict of probabilities by tag to an extension of each token.

    probabilities (NDArray): Shape (tokens, tags).
    """
    for token, row in zip(doc, probabilities, strict=True):
        token._.set(attr, dict(zip(tags, row.tolist(), strict=True)))


def _free_spans(doc: Doc, found: Iterable[Place], kept: list[Span]) -> list[Span]:
    """RETURNS (list[Span]): The spans that overlap none of the kept ones."""
    taken = {i for span in kept for i in range(span.start, span.end)}
    return [Span(doc, *place) for place in found if taken.isdisjoint(range(place[0], place[1]))]
