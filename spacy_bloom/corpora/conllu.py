"""Treebanks of Universal Dependencies, by spaCy's converter."""

import re
from collections import Counter
from pathlib import Path
from typing import Iterator, List

from spacy.language import Language
from spacy.training.converters import conllu_to_docs

from ..errors import InputError
from .files import DataFile, read_utf8
from .samples import Sample

SUFFIXES = (".conllu",)
WORD = re.compile(r"\d+([-.]\d+)?\t[^\t]+(\t[^\t]+){8}\Z")
MAX_WORDS = 1000  # of one token: spaCy's converter counts through all
EMPTY_NODE = re.compile(r"\d+\.")  # of an enhanced graph; no word of the text


def read_conllu(nlp: Language, file: DataFile, *, group: int = 1, morph: bool = True) -> Iterator[Sample]:
    """Read a treebank. Words of one token (French "du") are merged, as `spacy convert --merge-subtokens` does.

    nlp (Language): Not used: the tokens are the treebank's.
    file (DataFile): A CoNLL-U file.
    group (int): Number of consecutive sentences in a Doc.
    morph (bool): Keep the morphological features; without them `morphologizer` learns parts of speech alone.
    YIELDS (Sample): The Docs.
    RAISES (InputError): A line is not understood, or there is none.
    """
    text = read_lines(file.path)
    try:
        docs = list(conllu_to_docs(text, n_sents=group, merge_subtokens=True, no_print=True))
    except Exception as error:  # spaCy names no file, and heads may be of any size
        raise InputError(f"{file.path} could not be converted: {error}") from error
    for number, doc in enumerate(docs):
        if not morph:
            for token in doc:
                token.set_morph("")
        doc.user_data["lang"] = file.name
        yield Sample(doc, file.name, file.split, Counter(), (("text", doc.text),), (number,))


def read_lines(path: Path) -> str:
    """RETURNS (str): A file's sentences with a blank line between them, without comments and empty nodes.
    RAISES (InputError): A line is not a word's, or there is none.
    """
    lines: List[str] = []
    for number, line in enumerate(read_utf8(path).split("\n"), start=1):
        line = line.rstrip("\r")
        if line.startswith("#") or EMPTY_NODE.match(line) or (not line and not (lines and lines[-1])):
            continue
        if line and (not WORD.match(line) or _words_in(line) > MAX_WORDS):
            raise InputError(
                f"{path}, line {number}: got {line[:80]!r}, expected ten columns with tabs between them, the first a "
                f"number, or two of a token of up to {MAX_WORDS} words."
            )
        lines.append(line)
    if not lines:
        raise InputError(f"{path} holds no sentence. Remove it.")
    return "\n".join(lines)


def _words_in(line: str) -> int:
    """RETURNS (int): The number of words that a line's token says it has: 2 for "1-2"."""
    first, dash, last = line.partition("\t")[0].partition("-")
    if not dash:
        return 1
    return int(last) - int(first) + 1 if len(last) < 20 and len(first) < 20 else MAX_WORDS + 1
