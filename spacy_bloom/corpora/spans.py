"""Texts with spans of characters, a JSON object on each line."""

from collections import Counter
from typing import Any, Collection, Iterator, List, Optional

from spacy.language import Language

from .entities import Entity, set_entities, set_spans
from .files import DataFile
from .records import Record, Unreadable, label_of, read_records, refuse, set_metadata, text_of
from .samples import Sample

# Of Prodigy, of spaCy's older formats, of doccano
KEYS = ("spans", "entities", "label")
EXPECTED = 'an object like {"text": "...", "spans": [{"start": 0, "end": 4, "label": "..."}]}, by characters'


def read_spans(
    nlp: Language,
    file: DataFile,
    *,
    key: Optional[str] = None,
    labels: Optional[Collection[str]] = None,
) -> Iterator[Sample]:
    """Read the texts of a file.

    nlp (Language): Its tokenizer is used.
    file (DataFile): Lines of `{"text", "spans"}`; a span is an object of start, end and label, or a list of these. The
        list may also be called "entities" or "label".
    key (str | None): Write to `doc.spans[key]`, where spans may overlap; to `doc.ents` by default.
    labels (Collection[str] | None): Labels to keep; all by default.
    YIELDS (Sample): The Docs.
    RAISES (InputError): A line is not understood.
    """
    for number, record in read_records(file.path, EXPECTED):
        counts: Counter = Counter()
        try:
            text = text_of(record)
            spans = _spans_of(record, text)
        except Unreadable as error:
            refuse(file.path, number, str(error), EXPECTED)
        doc = nlp.make_doc(text)
        kept = [span for span in spans if not labels or span[2] in labels]
        if key is None:
            set_entities(doc, kept, counts)
        else:
            set_spans(doc, kept, key, counts)
        set_metadata(doc, record, file.name)
        yield Sample(doc, file.name, file.split, counts, (("text", text),), (number,))


def _spans_of(record: Record, text: str) -> List[Entity]:
    key = next((key for key in KEYS if isinstance(record.get(key), list)), None)
    if key is None:
        raise Unreadable(f"no list of spans, only {sorted(record)}")
    return [_span(item, text) for item in record[key]]


def _span(item: Any, text: str) -> Entity:
    if isinstance(item, dict):
        item = (item.get("start"), item.get("end"), item.get("label"))
    if not isinstance(item, (list, tuple)) or len(item) != 3:
        raise Unreadable(f"the span {item!r}")
    start, end, label = item
    numbers = all(isinstance(value, int) and not isinstance(value, bool) for value in (start, end))
    if not numbers or not 0 <= start < end <= len(text) or not (label and isinstance(label, str)):
        raise Unreadable(f"the span {(start, end, label)} of a text of {len(text)} characters")
    return start, end, label_of(label)
