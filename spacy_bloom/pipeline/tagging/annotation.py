"""Predicted tags written on Docs, beside what other components wrote or in its place."""

from collections.abc import Iterable, Sequence

import numpy
from numpy.typing import NDArray
from spacy.tokens import Doc, Span, SpanGroup

Place = tuple[int, int, str]  # start, end (exclusive) and label of a span


def span_scores(spans: Sequence[Place], tags: NDArray, probabilities: NDArray) -> NDArray[numpy.float32]:
    """The probability of each span: that of its least certain tag.

    tags (NDArray): Shape (tokens,).
    probabilities (NDArray): Shape (tokens, tags).
    RETURNS (NDArray): Shape (spans,).
    """
    of_tags = probabilities[numpy.arange(len(tags)), tags]  # (tokens,)
    return numpy.array([of_tags[start:end].min() for start, end, _ in spans], dtype="float32")


def write_ents(
    doc: Doc,
    found: Sequence[Place],
    scores: NDArray,
    *,
    overwrite: bool,
    score_attr: str | None = None,
) -> None:
    """Write entities. Without overwrite, existing ones and places where none may be (spaCy's blocked tokens) stay.

    scores (NDArray): Probability of each. Shape (found,).
    score_attr (str | None): Extension of spans that they are written to.
    """
    if overwrite:
        for token in doc:  # set_ents leaves the ids of entities that go
            token.ent_id = token.ent_kb_id = 0
        doc.set_ents(new := _free_spans(doc, found, []))
        _write_scores(new, found, scores, score_attr)
        return
    # "B" without a type: no entity may be there
    blocked = [doc[i : i + 1] for i, token in enumerate(doc) if token.ent_iob == 3 and not token.ent_type]
    kept = list(doc.ents)
    new = _free_spans(doc, found, kept + blocked)
    doc.set_ents(kept + new, blocked=blocked)
    _write_scores(new, found, scores, score_attr)


def write_spans(doc: Doc, found: Sequence[Place], scores: NDArray, *, key: str, overwrite: bool) -> None:
    """Write spans and their scores to doc.spans[key].

    scores (NDArray): Probability of each. Shape (found,).
    """
    kept = [] if overwrite else list(doc.spans.get(key, []))
    spans = _free_spans(doc, found, kept)
    known = [numpy.nan] * len(kept) + _scores_of(spans, found, scores)
    attrs = {"scores": numpy.array(known, dtype="float32")}
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


def _scores_of(spans: Iterable[Span], found: Sequence[Place], scores: NDArray) -> list[float]:
    """RETURNS (list[float]): Of those of the found spans that were written."""
    known = dict(zip(((start, end) for start, end, _ in found), scores.tolist(), strict=True))
    return [known[span.start, span.end] for span in spans]


def _write_scores(spans: Sequence[Span], found: Sequence[Place], scores: NDArray, attr: str | None) -> None:
    if attr is not None:
        for span, score in zip(spans, _scores_of(spans, found, scores), strict=True):
            span._.set(attr, score)
