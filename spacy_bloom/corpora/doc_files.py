"""Files of texts and of Docs: found, opened, and named in the error if they are damaged."""

from contextlib import contextmanager
from pathlib import Path
from typing import Collection, Dict, Iterator

from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from ..errors import InputError


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
        return DocBin(store_user_data=True).from_disk(path)


def read_docs(path: Path, vocab: Vocab) -> Iterator[Doc]:
    """YIELDS (Doc): The Docs of a `.spacy` file, made one by one. RAISES (InputError): As `open_docs`."""
    docs = open_docs(path).get_docs(vocab)
    with _damage_named(path):
        yield from docs


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # of zlib, msgpack, or of what they hold
        raise InputError(f"{path} is not a file of Docs as DocBin.to_disk writes it: {error}.") from None
