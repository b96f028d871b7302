"""From files of annotated data to `.spacy` files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Collection, Dict, Iterable, Iterator, Optional, Sequence, Tuple

from spacy.language import Language

from ..errors import InputError
from . import conll, conllu, records
from .categories import labels_of, read_categories
from .files import DataFile, find_data_files, names_in
from .questions import read_questions
from .samples import Sample
from .spans import read_spans
from .splits import split_samples
from .writing import Report, write_corpus

Show = Callable[[Iterable[Sample]], Iterable[Sample]]


@dataclass(frozen=True)
class Settings:
    """What is read, and how.

    names, exclude (Collection[str] | None): Data sets to take and to leave out.
    labels (Collection[str] | None): Labels of entities and spans to keep; all by default.
    group (int): Sentences in a Doc, of CoNLL and CoNLL-U.
    spans_key (str | None): Write spans to `doc.spans[spans_key]` instead of `doc.ents`.
    morph (bool): Keep morphological features.
    dev, test (float): Shares of what no file's name puts into a split.
    seed (int): Seed of the splits and of the order of the training Docs.
    default (str): Name of a data set whose file has none.
    """

    names: Optional[Collection[str]] = None
    exclude: Optional[Collection[str]] = None
    labels: Optional[Collection[str]] = None
    group: int = 1
    spans_key: Optional[str] = None
    morph: bool = True
    dev: float = 0.1
    test: float = 0.2
    seed: int = 0
    default: str = "xx"

    def __post_init__(self) -> None:
        if self.group < 1:
            raise InputError(f"Expected 1 or more sentences in a Doc, got {self.group}.")
        if min(self.dev, self.test) < 0 or self.dev + self.test > 1:
            raise InputError(f"Expected shares from 0 to 1 for dev and test, got {self.dev} and {self.test}.")


Reader = Callable[[Language, Sequence[DataFile], Settings], Iterator[Sample]]


@dataclass(frozen=True)
class Kind:
    """A kind of annotated data.

    about (str): A short description.
    suffixes (tuple[str, ...]): Suffixes of its files.
    read (Reader): Reads its files.
    """

    about: str
    suffixes: Tuple[str, ...]
    read: Reader


def _read_conll(nlp: Language, files: Sequence[DataFile], settings: Settings) -> Iterator[Sample]:
    for file in files:
        yield from conll.read_conll(nlp, file, group=settings.group, labels=settings.labels)


def _read_conllu(nlp: Language, files: Sequence[DataFile], settings: Settings) -> Iterator[Sample]:
    for file in files:
        yield from conllu.read_conllu(nlp, file, group=settings.group, morph=settings.morph)


def _read_categories(nlp: Language, files: Sequence[DataFile], settings: Settings) -> Iterator[Sample]:
    labels = labels_of(files)
    for file in files:
        yield from read_categories(nlp, file, labels=labels[file.name])


def _read_spans(nlp: Language, files: Sequence[DataFile], settings: Settings) -> Iterator[Sample]:
    for file in files:
        yield from read_spans(nlp, file, key=settings.spans_key, labels=settings.labels)


def _read_questions(nlp: Language, files: Sequence[DataFile], settings: Settings) -> Iterator[Sample]:
    return read_questions(nlp, files)


KINDS: Dict[str, Kind] = {
    "conll": Kind("entities, a word and a BIO tag a line", conll.SUFFIXES, _read_conll),
    "conllu": Kind("treebanks of Universal Dependencies", conllu.SUFFIXES, _read_conllu),
    "cats": Kind('categories, {"text", "label"}', records.SUFFIXES, _read_categories),
    "spans": Kind('entities or spans, {"text", "spans"}', records.SUFFIXES, _read_spans),
    "qa": Kind('questions, {"context", "question", "answers"}', records.SUFFIXES, _read_questions),
}
# What the first record of a file of JSON lines tells, in this order.
TELLING = {"qa": ("question",), "spans": ("spans", "entities"), "cats": ("label", "labels", "cats")}


def convert(
    source: Path, target: Path, kind: str, nlp: Language, settings: Settings, *, show: Show = iter
) -> Report:
    """Convert a file, or a folder of files.

    source (Path): A file, or a folder of files NAME.SPLIT.SUFFIX.
    target (Path): Folder for the `.spacy` files; created if needed.
    kind (str): One of KINDS.
    nlp (Language): Its tokenizer is used, except for treebanks, which have their own tokens.
    settings (Settings): What is read, and how.
    show (Callable): Wraps the stream of samples, for a progress bar.
    RETURNS (Report): How many there are of what, by data set and split.
    RAISES (InputError): There is no such file, or a line is not understood.
    """
    suffixes = KINDS[kind].suffixes
    files = find_data_files(
        source, suffixes, names=settings.names, exclude=settings.exclude, default=settings.default
    )
    samples = list(show(KINDS[kind].read(nlp, files, settings)))
    splits = split_samples(samples, dev=settings.dev, test=settings.test, seed=settings.seed)
    known = names_in(source, suffixes, settings.default)
    return write_corpus(splits, target, known=known, seed=settings.seed)


def guess_kind(source: Path) -> str:
    """RETURNS (str): The kind of a file, or of a folder's files, by suffixes and by the keys of the first record.
    RAISES (InputError): There is no file of any kind, or files of several.
    """
    files = [source] if source.is_file() else sorted(source.glob("*"))
    kinds = {_kind_of(file) for file in files if file.is_file()} - {None}
    if len(kinds) == 1:
        return str(kinds.pop())
    got = " and ".join(sorted(map(str, kinds))) or "none"
    endings = ", ".join(sorted({suffix for kind in KINDS.values() for suffix in kind.suffixes}))
    raise InputError(
        f"Expected {source} to be a file or folder of one kind of data ({endings}), got {got}. Name the kind with "
        f"--type: {', '.join(KINDS)}."
    )


def _kind_of(path: Path) -> Optional[str]:
    for name in ("conll", "conllu"):
        if path.suffix in KINDS[name].suffixes:
            return name
    if path.suffix not in records.SUFFIXES:
        return None
    _, first = next(records.read_records(path, "a JSON object"), (0, {}))
    if isinstance(first.get("label"), list) and any(isinstance(item, list) for item in first["label"]):
        return "spans"
    return next((kind for kind, keys in TELLING.items() if any(key in first for key in keys)), None)


def total(report: Report) -> Dict[str, Any]:
    """RETURNS (dict[str, Any]): The sum of all counts."""
    names = dict.fromkeys(name for counts in report.values() for name in counts)
    return {name: sum(counts[name] for counts in report.values()) for name in names}
