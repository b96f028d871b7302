"""The texts that a command is given: lines of `.txt`, records of `.jsonl`, Docs of `.spacy`, folders of these."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from spacy.tokens import DocBin
from spacy.vocab import Vocab

from ..errors import InputError
from ..training.lm_data import stream_lines


def read_texts(path: Path) -> Iterator[str]:
    """Stream texts, file by file in the order of their names. Of a `.spacy` file the Docs' annotation, which is
    smaller than Docs, is in memory; of other files one line.

    path (Path): A `.txt` file with one text on each line, a `.jsonl` file with a "text" in each record, a
        `.spacy` file, or a folder with such files, at any depth; other files in it are left alone.
    YIELDS (str): The texts, those without any character left out.
    RAISES (InputError): There is no such file, or one that is damaged or has no text; it says where.
    """
    for file in find_files(path):
        empty = True
        for text in READERS[file.suffix](file):
            if text:
                empty = False
                yield text
        if empty:
            raise InputError(f"{file} has no text. Remove it, or see that it was written completely.")


def find_files(path: Path) -> list[Path]:
    """RETURNS (list[Path]): The files that `read_texts` reads, sorted.
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


def _read_records(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line.decode("utf-8-sig"))
            except (ValueError, RecursionError) as error:  # also no UTF-8
                raise InputError(f"{path}, line {number}: not JSON ({error}). Correct the line.") from None
            if not isinstance(record, dict) or not isinstance(record.get("text"), str):
                raise InputError(
                    f'{path}, line {number}: expected a record as {{"text": "..."}}, got {line[:60]!r}.'
                )
            yield record["text"]


def _read_docs(path: Path) -> Iterator[str]:
    try:
        docs = DocBin().from_disk(path)
    except Exception as error:  # of zlib, msgpack, or of what they hold
        raise InputError(f"{path} is not a file of Docs as DocBin.to_disk writes it: {error}.") from None
    return (doc.text for doc in docs.get_docs(Vocab()))


READERS: dict[str, Callable[[Path], Iterator[str]]] = {
    ".txt": stream_lines,
    ".jsonl": _read_records,
    ".spacy": _read_docs,
}
