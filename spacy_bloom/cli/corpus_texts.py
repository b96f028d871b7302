"""The texts of a corpus, one after the other: .txt files of lines, .jsonl files and .spacy files."""

import json
from collections.abc import Iterator
from pathlib import Path

from spacy.tokens import DocBin
from spacy.vocab import Vocab

from ..errors import InputError


def read_corpus(path: Path) -> Iterator[tuple[str, str]]:
    """Read a file, or all such files below a folder, text by text; only a .spacy file is in memory as a whole.

    path (Path): .txt (a text on each line; blank lines are skipped), .jsonl (an object with "text" on each line),
        .spacy, or a folder of these.
    YIELDS (tuple[str, str]): The name of a group, and a text. A group is a file, by its name without suffix; Docs that have
        doc.user_data["lang"] are in that language's.
    RAISES (InputError): There are no such files, or one is damaged.
    """
    for file in corpus_files(path):
        try:
            yield from READERS[file.suffix](file)
        except UnicodeDecodeError as error:
            raise InputError(f"Expected {file} to be UTF-8, got something else: {error}.") from None


def corpus_files(path: Path) -> list[Path]:
    """RETURNS (list[Path]): The file itself, or those below a folder that can be read, in order.
    RAISES (InputError): There are none.
    """
    suffixes = ", ".join(READERS)
    if path.is_file() and path.suffix not in READERS:
        raise InputError(f"Expected a file of {suffixes}, got {path}.")
    files = [path] if path.is_file() else sorted(path.rglob("*")) if path.is_dir() else []
    files = [file for file in files if file.suffix in READERS and file.is_file()]
    if not files:
        raise InputError(f"Expected a file of {suffixes}, or a folder with some, got {path}.")
    return files


def _read_lines(path: Path) -> Iterator[tuple[str, str]]:
    with path.open(encoding="utf8", newline="\n") as lines:
        for line in lines:
            if line.strip():
                yield path.stem, line.rstrip("\r\n")


def _read_jsonl(path: Path) -> Iterator[tuple[str, str]]:
    with path.open(encoding="utf8", newline="\n") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            text = row.get("text") if isinstance(row, dict) else None
            if not isinstance(text, str) or not _is_whole(text):
                raise InputError(
                    f'Expected an object with "text", of whole Unicode characters, in {path}, line {number}; '
                    f"got {line.strip()[:60]!r}."
                )
            yield path.stem, text


def _read_docs(path: Path) -> Iterator[tuple[str, str]]:
    try:
        docs = DocBin().from_disk(path)
    except Exception as error:  # of zlib, msgpack or spaCy, as the damage is
        raise InputError(f"Expected Docs in {path}, got something else: {error!r}.") from error
    for doc in docs.get_docs(Vocab()):  # a vocabulary for each file, so that none grows with the corpus
        lang = doc.user_data.get("lang")
        yield lang if isinstance(lang, str) else path.stem, doc.text


def _is_whole(text: str) -> bool:
    """RETURNS (bool): Whether there is no half of a surrogate pair, which JSON can escape and no tokenizer reads."""
    try:
        text.encode("utf8")
    except UnicodeEncodeError:
        return False
    return True


READERS = {".txt": _read_lines, ".jsonl": _read_jsonl, ".spacy": _read_docs}
