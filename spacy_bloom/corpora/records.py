"""Lines of JSON: one annotated text each."""

import json
from pathlib import Path
from typing import Any, Dict, Iterator, NoReturn, Tuple

from spacy.tokens import Doc

from ..errors import InputError
from ..settings import is_whole

SUFFIXES = (".jsonl",)
Record = Dict[str, Any]


class Unreadable(Exception):
    """A record is not what its reader expects. Its text says what was found."""


def read_records(path: Path, expected: str) -> Iterator[Tuple[int, Record]]:
    """Read the records of a file; blank lines are skipped.

    path (Path): A file with a JSON object on each line.
    expected (str): What an object is expected to be, for the error.
    YIELDS (tuple[int, dict[str, Any]]): Numbers of lines from 1, and objects.
    RAISES (InputError): A line is no object.
    """
    with path.open("rb") as lines:  # JSON's lines end at \n; Unicode has other line ends, inside of texts
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line.decode("utf-8-sig"))
            except (ValueError, RecursionError):
                record = None
            if not isinstance(record, dict):
                refuse(path, number, repr(line[:80].decode("utf8", "replace")), expected)
            yield number, record


def refuse(path: Path, number: int, got: str, expected: str) -> NoReturn:
    """RAISES (InputError): Always; it names the line, what it holds and what it should hold."""
    raise InputError(f"{path}, line {number}: got {got}, expected {expected}.")


def text_of(record: Record, key: str = "text") -> str:
    """RETURNS (str): A record's text. RAISES (Unreadable): It has none, or one with half of a surrogate pair."""
    text = record.get(key)
    if not isinstance(text, str):
        raise Unreadable(f"{text!r} for {key!r}")
    return label_of(text)


def label_of(text: str) -> str:
    """RETURNS (str): A text or label. RAISES (Unreadable): It has half of a surrogate pair."""
    if not is_whole(text):
        raise Unreadable(f"half of a surrogate pair in {text[:40]!r}")
    return text


def set_metadata(doc: Doc, record: Record, name: str) -> None:
    """Write what is known of a text to `doc.user_data`, to evaluate by it.

    doc (Doc): The Doc.
    record (dict[str, Any]): The strings, numbers and truth values of its "meta" are taken, and its "lang".
    name (str): Name of the data set, the language unless the record says something else.
    """
    meta = record.get("meta")
    if isinstance(meta, dict):
        doc.user_data.update(
            (key, value) for key, value in meta.items() if isinstance(value, (str, int, float))
        )
    lang = record.get("lang")
    doc.user_data["lang"] = lang if isinstance(lang, str) else doc.user_data.get("lang", name)
