"""Files of texts and of Docs: found, opened, and named in the error if they are damaged."""

import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import Collection, Dict, Iterator

import numpy
from spacy.parts_of_speech import NAMES as PARTS_OF_SPEECH
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from ..errors import InputError

CHUNK = 2**20
# Real Docs become ten to twenty times as large.
MAX_UNPACKED, MAX_GROWTH = 10**8, 50
# Attributes of tokens that are numbers of texts.
TEXTS: list[int | str] = ["ORTH", "NORM", "LEMMA", "TAG", "DEP", "ENT_TYPE", "ENT_KB_ID", "ENT_ID", "MORPH"]


def find_text_files(path: Path, suffixes: Collection[str]) -> Dict[str, Path]:
    """path (Path): A file, or a folder with files at any depth; those with other suffixes are ignored.
    suffixes (Collection[str]): Such as ".txt".
    RETURNS (dict[str, Path]): Names below the folder, with "/" between their parts, and the files; sorted.
    RAISES (InputError): There is none.
    """
    if path.is_file() and path.suffix in suffixes:
        return {path.name: path}
    files = path.rglob("*") if path.is_dir() else ()
    found = sorted(file for file in files if file.suffix in suffixes and file.is_file())
    if not found:
        what = "a folder without any" if path.is_dir() else "another file" if path.exists() else "nothing"
        endings = ", ".join(suffixes)
        raise InputError(f"Expected texts at {path}: a file {endings} or a folder of these, got {what}.")
    return {file.relative_to(path).as_posix(): file for file in found}


def open_docs(path: Path) -> DocBin:
    """RETURNS (DocBin): The Docs of a `.spacy` file. RAISES (InputError): It is damaged, or something else."""
    with _damage_named(path):
        _check_size(path)
        return DocBin(store_user_data=True).from_disk(path)


def read_docs(path: Path, vocab: Vocab) -> Iterator[Doc]:
    """YIELDS (Doc): The Docs of a `.spacy` file, made one by one. RAISES (InputError): As `open_docs`."""
    docs = open_docs(path).get_docs(vocab)
    with _damage_named(path):
        for doc in docs:
            _check_doc(doc)
            yield doc


def _check_doc(doc: Doc) -> None:
    """RAISES (ValueError, LookupError): What spaCy takes as it is, and fails on when somebody reads it."""
    known = doc.vocab.strings
    values = numpy.unique(doc.to_array(TEXTS)).tolist() if len(doc) else []
    unknown = [value for value in values if value and value not in known]
    if unknown:
        raise ValueError(f"there are no texts for the attributes {unknown[:3]}")
    strange = [value for value in numpy.unique(doc.to_array("POS")).tolist() if value not in PARTS_OF_SPEECH]
    if strange:
        raise ValueError(f"there are no parts of speech {strange[:3]}")
    if not isinstance(doc.cats, dict) or not isinstance(doc.user_data, dict):
        raise ValueError("a Doc has no categories or user data by name")
    text = doc.text  # made anew whenever it is asked for
    for spans in (doc.ents, *doc.spans.values()):
        for span in spans:
            if not 0 <= span.start <= span.end <= len(doc):
                raise ValueError(f"the Doc has {len(doc)} tokens, and a span of {span.start} to {span.end}")
            if text[span.start_char : span.end_char] != span.text:
                raise ValueError(f"the characters of the span {span.text!r:.80} are elsewhere")


def _check_size(path: Path) -> None:
    """RAISES (ValueError): A small file would take much memory: it is compressed, and spaCy unpacks it at once."""
    most = max(MAX_UNPACKED, MAX_GROWTH * path.stat().st_size)
    unpacker, size = zlib.decompressobj(), 0
    with path.open("rb") as file:
        while (data := unpacker.unconsumed_tail or file.read(CHUNK)) and size <= most:
            size += len(unpacker.decompress(data, CHUNK))
    if size > most:
        raise ValueError(f"it has {path.stat().st_size} bytes, which become more than {most}")


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # of zlib, msgpack, or of what they hold
        raise InputError(f"{path} is not a file of Docs as DocBin.to_disk writes it: {error}.") from None
