"""What the gold annotation of an Example says about each token of the prediction."""

from collections.abc import Iterable, Mapping

import numpy
from numpy.typing import NDArray
from spacy.training import Example

from ...errors import ConfigError
from ..base.spans import edge_tokens, without_overlap
from .tag_scheme import OUTSIDE

MISSING = -1


def gold_labels(examples: Iterable[Example], *, target: str, spans_key: str) -> set[str]:
    """RETURNS (set[str]): All labels that the gold annotation of a target has."""
    labels: set[str] = set()
    for eg in examples:
        gold = eg.reference
        if target == "ents":
            labels.update(ent.label_ for ent in gold.ents)
        elif target == "spans":
            labels.update(span.label_ for span in gold.spans.get(spans_key, []))
        else:
            labels.update(getattr(token, f"{target}_") for token in gold)
    return labels - {""}


def count_overlapping(examples: Iterable[Example], spans_key: str) -> tuple[int, int]:
    """RETURNS (tuple[int, int]): Gold spans that share a token with one before them, and all gold spans."""
    kept = total = 0
    for eg in examples:
        spans = list(eg.reference.spans.get(spans_key, []))
        kept += len(without_overlap(spans))
        total += len(spans)
    return total - kept, total


def gold_tags(
    example: Example, index: Mapping[str, int], *, target: str, spans_key: str, name: str
) -> NDArray[numpy.int64]:
    """The gold tag of each predicted token.

    index (Mapping[str, int]): The model's output for each tag.
    name (str): The component, for errors.
    RETURNS (NDArray): Indices, MISSING where there is no annotation or tokens do not align. Shape (tokens,).
    RAISES (ConfigError): A gold label that is not in the index.
    """
    if target in ("tag", "pos"):
        labels = [label or None for label in example.get_aligned(target.upper(), as_string=True)]
        return numpy.array([_find((label,), index, name) for label in labels], dtype=numpy.int64)
    if target == "ents":
        tags = [None if tag in (None, "-", "") else tag for tag in example.get_aligned_ner()]
    else:
        tags = _span_tags(example, spans_key)
    tags = _without_blank_edges(tags, edge_tokens(example.predicted))
    return numpy.array([_find(_spellings(tag), index, name) for tag in tags], dtype=numpy.int64)


def _span_tags(example: Example, spans_key: str) -> list[str | None]:
    """BILUO tags of a group of spans, all missing where the Doc has no such group. Of spans that overlap, the first
    stays.
    """
    if spans_key not in example.reference.spans:
        return [None] * len(example.predicted)
    tags: list[str | None] = [OUTSIDE] * len(example.predicted)
    gold = example.reference.spans[spans_key]
    for span in gold:  # of one that does not align, or overlaps another, a token is not known to be outside
        for i in example.alignment.y2x[span.start : span.end]:
            tags[i] = None
    for span in example.get_aligned_spans_y2x(without_overlap(gold), allow_overlap=False):
        inside = ["I"] * (len(span) - 2)
        prefixes = ["U"] if len(span) == 1 else ["B", *inside, "L"]
        tags[span.start : span.end] = [f"{prefix}-{span.label_}" for prefix in prefixes]
    return tags


def _without_blank_edges(tags: list[str | None], edges: NDArray[numpy.bool_]) -> list[str | None]:
    """RETURNS (list[str | None]): BILUO tags, missing for spans that begin or end with white space. spaCy's `ner`
    cannot learn those either, and `debug data` reports them.
    """
    kept, start = list(tags), 0
    for i, tag in enumerate(tags):
        prefix = (tag or OUTSIDE)[0]
        start = i if prefix in "BU" else start
        if prefix in "LU" and not (edges[start] and edges[i]):
            kept[start : i + 1] = [None] * (i + 1 - start)
    return kept


def _spellings(tag: str | None) -> tuple[str | None, ...]:
    """RETURNS (tuple[str | None, ...]): spaCy's tag (BILUO) as BILUO, BIOES, BIO and IO write it."""
    if tag is None:
        return (None,)
    prefix, _, label = tag.partition("-")
    other = {"U": ("S", "B"), "L": ("E", "I")}.get(prefix, ())
    return (tag, *(f"{p}-{label}" for p in other), f"I-{label}", label)


def _find(spellings: tuple[str | None, ...], index: Mapping[str, int], name: str) -> int:
    """RETURNS (int): The model's output for a gold tag under the first spelling that it knows."""
    if spellings[0] is None:
        return MISSING
    for spelling in spellings:
        if spelling is not None and spelling in index:
            return index[spelling]
    raise ConfigError(
        f"{name!r} got the gold label {spellings[-1] or spellings[0]!r}, which it does not know. "
        f"Known: {sorted(index)[:20]}. Initialise it with all labels of the corpus."
    )
