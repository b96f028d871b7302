"""Spans of characters as entities or spans of a Doc."""

from collections import Counter
from typing import List, Optional, Sequence, Set, Tuple

from spacy.tokens import Doc, Span

Entity = Tuple[int, int, str]  # first character, the one after the last, label


def set_entities(doc: Doc, entities: Sequence[Entity], counts: Counter) -> None:
    """Write entities to `doc.ents`; every token outside them is marked as outside.

    An entity whose border falls inside a token is expanded to whole tokens. It is dropped if it then overlaps another
    one, or has no token. Each is counted as "exact", "expanded" or "dropped".

    doc (Doc): The Doc.
    entities (Sequence[Entity]): By characters.
    counts (Counter): Is added to.
    """
    taken: Set[int] = set()
    spans: List[Span] = []
    found = [(_exact(doc, entity), entity) for entity in entities]
    for exact, entity in sorted(found, key=lambda pair: pair[0] is None):  # exact ones first
        span = exact or _expanded(doc, entity)
        if span is None or taken.intersection(range(span.start, span.end)):
            counts["dropped"] += 1
            continue
        counts["expanded" if exact is None else "exact"] += 1
        taken.update(range(span.start, span.end))
        spans.append(span)
    doc.set_ents(spans)


def set_spans(doc: Doc, entities: Sequence[Entity], key: str, counts: Counter) -> None:
    """Write spans, which may overlap, to `doc.spans[key]`; each once. They are expanded and counted like entities."""
    spans: List[Span] = []
    seen: Set[Entity] = set()
    for entity in entities:
        exact = _exact(doc, entity)
        span = exact or _expanded(doc, entity)
        if span is None or (span.start, span.end, span.label_) in seen:
            counts["dropped"] += 1
            continue
        counts["expanded" if exact is None else "exact"] += 1
        seen.add((span.start, span.end, span.label_))
        spans.append(span)
    doc.spans[key] = spans


def _exact(doc: Doc, entity: Entity) -> Optional[Span]:
    start, end, label = entity
    # Of the space between two tokens it makes a span without tokens.
    return doc.char_span(start, end, label=label) or None


def _expanded(doc: Doc, entity: Entity) -> Optional[Span]:
    start, end, label = entity
    return doc.char_span(start, end, label=label, alignment_mode="expand") or None
