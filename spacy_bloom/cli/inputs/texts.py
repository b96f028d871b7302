"""The texts that a command is given: lines of `.txt`, records of `.jsonl`, Docs of `.spacy`, folders of these."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from ...errors import InputError
from ...pretraining.data import stream_lines


def read_texts(path: Path) -> Iterator[str]:
    """YIELDS (str): The texts that `read_named_texts` gives, those without any character left out."""
    return (text for _, text in read_named_texts(path) if text)


def read_named_texts(path: Path) -> Iterator[tuple[str, str]]:
    """Stream texts, file by file in the order of their names. Of a `.spacy` file the Docs' annotation, which is
    smaller than Docs, is in memory; of other files one line.

    path (Path): A `.txt` file with one text on each line, a `.jsonl` file with a "text" in each record, a
        `.spacy` file, or a folder with such files, at any depth; other files in it are left alone.
    YIELDS (tuple[str, str]): What a text belongs to, and the text: Docs to the language in doc.user_data["lang"], if
        they have one, others to their file, by its name without ending.
    RAISES (InputError): There is no such file, or one that is damaged or has no text; it says where.
    """
    for file in find_files(path):
        empty = True
        for name, text in READERS[file.suffix](file):
            empty = empty and not text
            yield name, text
        if empty:
            raise InputError(f"{file} has no text. Remove it, or see that it was written completely.")


def find_files(path: Path) -> list[Path]:
    """RETURNS (list[Path]): The files that `read_named_texts` reads, sorted.
    RAISES (InputError): There is none.
    """
    if path.is_file() and path.suffix in READERS:
        return [path]
    found = path.rglob("*") if path.is_dir() else ()
    files = sorted(file for file in found if file.suffix in READERS and file.is_file())
    if not files:
        endings = ", ".join(READERS)
        what = "a folder without any" if path.is_dir() else "another file" if path.exists() else "nothing"
        raise InputError(f"Expected texts at {path}: a file {endings} or a folder of these, got {what}.")
    return files


def _read_lines(path: Path) -> Iterator[tuple[str, str]]:
    return ((path.stem, line) for line in stream_lines(path))


def _read_records(path: Path) -> Iterator[tuple[str, str]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line.decode("utf-8-sig"))
            except (ValueError, RecursionError) as error:  # also no UTF-8
                raise InputError(f"{path}, line {number}: not JSON ({error}). Correct the line.") from None
            text = record.get("text") if isinstance(record, dict) else None
            if not isinstance(text, str) or not _is_whole(text):
                raise InputError(
                    f'{path}, line {number}: expected a record as {{"text": "..."}}, of whole characters, got '
                    f"{line[:60]!r}."
                )
            yield path.stem, text


def _is_whole(text: str) -> bool:
    """RETURNS (bool): Whether there is no half of a surrogate pair, which JSON can escape and no tokenizer reads."""
    try:
        text.encode("utf8")
    except UnicodeEncodeError:
        return False
    return True


def _read_docs(path: Path) -> Iterator[tuple[str, str]]:
    try:
        docs = DocBin().from_disk(path)
    except Exception as error:  # of zlib, msgpack, or of what they hold
        raise InputError(f"{path} is not a file of Docs as DocBin.to_disk writes it: {error}.") from None
    # A vocabulary for each file, so that none grows with the corpus.
    return ((_name_of(doc, path), doc.text) for doc in docs.get_docs(Vocab()))


def _name_of(doc: Doc, path: Path) -> str:
    lang = doc.user_data.get("lang")
    return lang if isinstance(lang, str) else path.stem


READERS: dict[str, Callable[[Path], Iterator[tuple[str, str]]]] = {
    ".txt": _read_lines,
    ".jsonl": _read_records,
    ".spacy": _read_docs,
}
