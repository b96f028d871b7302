"""What a command is given: pipelines, languages, and texts in `.txt`, `.jsonl` and `.spacy` files."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import get_lang_class, get_package_path, is_package
from spacy.vocab import Vocab

from ..checkpoint.sources import BUNDLED_PIPELINES, bundled_path
from ..corpora.doc_files import find_text_files, read_docs
from ..errors import ConfigError, InputError
from ..pretraining.data import stream_lines
from ..settings import is_whole

PIPELINE_CONFIG = "config.cfg"
MANY = "xx"  # spaCy's code for several languages at once
MULTILINGUAL = {"@tokenizers": "spacy-bloom.MultilingualTokenizer.v1"}
# Written without spaces between words, but spaCy tokenizes it with the rules of spaced scripts.
UNSPACED = ("bo",)


def load_pipeline(source: str) -> Language:
    """source (str): A bundled pipeline, or a directory or package that spacy.load takes.
    RETURNS (Language): The pipeline.
    RAISES (InputError): There is no such pipeline.
    """
    try:
        return spacy.load(find_pipeline(source) or source)
    except OSError as error:
        raise InputError(f"The pipeline {source} cannot be loaded: {error}.") from error


def find_pipeline(source: str) -> Path | None:
    """source (str): A bundled pipeline, or a directory or package that spacy.load takes.
    RETURNS (Path | None): The pipeline's directory; None if there is none.
    """
    if source in BUNDLED_PIPELINES:
        return bundled_path(source)
    if (Path(source) / PIPELINE_CONFIG).is_file():
        return Path(source)
    if is_package(source):  # the pipeline is in a folder with the version in its name
        return next((path.parent for path in get_package_path(source).glob(f"*/{PIPELINE_CONFIG}")), None)
    return None


def find_language(lang: str) -> tuple[str, dict[str, str]]:
    """lang (str): spaCy's code of a language, or several separated by commas, which become "xx".
    RETURNS (tuple[str, dict[str, str]]): The code for a config's [nlp], and the settings for [nlp.tokenizer]: the
        multilingual tokenizer where spaCy has none of its own or one that needs another package (ja, ko, th, vi) or
        splits words of other scripts into characters (zh); nothing where spaCy has rules for the language.
    RAISES (ConfigError): spaCy does not know a language.
    """
    codes = [_known(code.strip()) for code in lang.split(",")]
    code = codes[0] if len(set(codes)) == 1 else MANY
    defaults = getattr(get_lang_class(code).Defaults, "config", {})
    has_own_tokenizer = "tokenizer" in defaults.get("nlp", {})
    return code, MULTILINGUAL if code in (MANY, *UNSPACED) or has_own_tokenizer else {}


def _known(lang: str) -> str:
    try:
        return get_lang_class(lang).lang or lang
    except ImportError:
        raise ConfigError(
            f"spaCy knows no language {lang!r}. Expected a code such as en, ar or zh; use {MANY} for several "
            "languages, or for one that spaCy does not know."
        ) from None


def read_texts(path: Path) -> Iterator[str]:
    """YIELDS (str): The texts of `read_named_texts` that are not empty."""
    return (text for _, text in read_named_texts(path) if text)


def read_named_texts(path: Path) -> Iterator[tuple[str, str]]:
    """Stream texts, file by file in the order of their names. One line of a text file is in memory at a time; a `.spacy`
    file is read whole, but its Docs are made one by one.

    path (Path): A `.txt` file with one text per line, a `.jsonl` file with a "text" in each record, a `.spacy` file,
        or a folder with such files at any depth; other files in it are ignored.
    YIELDS (tuple[str, str]): A text's group and the text. The group is doc.user_data["lang"] for Docs that have it, and
        otherwise the file's name without its suffix.
    RAISES (InputError): There is no such file, or a file is damaged or has no text.
    """
    for file in find_files(path):
        empty = True
        for name, text in READERS[file.suffix](file):
            empty = empty and not text
            yield name, text
        if empty:
            raise InputError(f"{file} has no text. Remove it, or check that it was written completely.")


def find_files(path: Path) -> list[Path]:
    """RETURNS (list[Path]): The files that `read_named_texts` reads, sorted.
    RAISES (InputError): There is none.
    """
    return list(find_text_files(path, READERS).values())


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
            if not isinstance(text, str) or not is_whole(text):
                raise InputError(
                    f'{path}, line {number}: expected a record as {{"text": "..."}}, of whole characters, got '
                    f"{line[:60]!r}."
                )
            yield path.stem, text


def _read_docs(path: Path) -> Iterator[tuple[str, str]]:
    # A vocabulary for each file, so that none grows with the corpus.
    return ((_name_of(doc, path), doc.text) for doc in read_docs(path, Vocab()))


def _name_of(doc: Doc, path: Path) -> str:
    lang = doc.user_data.get("lang")
    return lang if isinstance(lang, str) else path.stem


READERS: dict[str, Callable[[Path], Iterator[tuple[str, str]]]] = {
    ".txt": _read_lines,
    ".jsonl": _read_records,
    ".spacy": _read_docs,
}
