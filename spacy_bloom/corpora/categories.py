"""Texts with categories, a JSON object on each line."""

from collections import Counter
from typing import Dict, Iterator, List, Sequence, Tuple

from spacy.language import Language

from ..errors import InputError
from .files import DataFile
from .records import Record, Unreadable, label_of, read_records, refuse, set_metadata, text_of
from .samples import Sample

EXPECTED = (
    'an object like {"text": "...", "label": "..."}, "labels" for a list, or "cats" for numbers by label'
)


def read_categories(nlp: Language, file: DataFile, *, labels: Sequence[str]) -> Iterator[Sample]:
    """Read the texts of a file.

    nlp (Language): Its tokenizer is used.
    file (DataFile): Lines of `{"text", "label"}`, `{"text", "labels"}` or `{"text", "cats"}`.
    labels (Sequence[str]): All labels of the data set; those that a text does not have are 0.
    YIELDS (Sample): Docs with `doc.cats`.
    RAISES (InputError): A line is not understood.
    """
    for number, record, cats in _rows(file):
        doc = nlp.make_doc(text_of(record))
        doc.cats = {**dict.fromkeys(labels, 0.0), **cats}
        set_metadata(doc, record, file.name)
        yield Sample(doc, file.name, file.split, Counter(), (("text", doc.text),), (number,))


def labels_of(files: Sequence[DataFile]) -> Dict[str, Tuple[str, ...]]:
    """RETURNS (dict[str, tuple[str, ...]]): All labels of each data set, whichever of its files has them.
    RAISES (InputError): A line is not understood.
    """
    found: Dict[str, set] = {}
    for file in files:
        own = found.setdefault(file.name, set())
        for _, _, cats in _rows(file):
            own.update(cats)
    for name, own in found.items():
        if not own:
            raise InputError(f"{name} has no label in any of its files. Expected {EXPECTED}.")
    return {name: tuple(sorted(own)) for name, own in found.items()}


def _rows(file: DataFile) -> Iterator[Tuple[int, Record, Dict[str, float]]]:
    for number, record in read_records(file.path, EXPECTED):
        try:
            text_of(record)
            cats = _cats_of(record)
        except Unreadable as error:
            refuse(file.path, number, str(error), EXPECTED)
        yield number, record, cats


def _cats_of(record: Record) -> Dict[str, float]:
    if isinstance(record.get("cats"), dict):
        cats = record["cats"]
        if not all(label and isinstance(value, (int, float)) for label, value in cats.items()):
            raise Unreadable(f'{cats!r} for "cats"')
        try:
            return {label_of(label): float(value) for label, value in cats.items()}
        except OverflowError:
            raise Unreadable('a number too large for a float in "cats"') from None
    found: List = record["labels"] if isinstance(record.get("labels"), list) else [record.get("label")]
    if not all(label and isinstance(label, str) for label in found):
        raise Unreadable(f"{found!r} for its labels")
    return dict.fromkeys(map(label_of, found), 1.0)
