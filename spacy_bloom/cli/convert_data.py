"""`python -m spacy bloom convert-data`: annotated data in the usual formats, as spaCy's training data."""

import json
from pathlib import Path
from typing import Iterable, Iterator, List, Optional

import spacy
from spacy.cli._util import Arg, Opt
from spacy.language import Language
from tqdm import tqdm
from wasabi import msg, table

from ..corpora.convert import KINDS, Settings, convert, guess_kind, total
from ..corpora.samples import Sample
from ..corpora.writing import Report
from ..errors import InputError
from .failures import check_file, check_folder
from .info import Align
from .inputs import find_language

AUTO = "auto"
KIND_LIST = "\b\nTypes:\n" + "\n".join(
    f"  {name:<8}{', '.join(kind.suffixes):<28}{kind.about}" for name, kind in KINDS.items()
)
COLUMNS = ("docs", "tokens", "exact", "expanded", "dropped")


def convert_data_cli(
    source: Path = Arg(..., help="File, or folder of files NAME.SPLIT.SUFFIX (ar.train.conll, reviews.dev.jsonl); NAME is a language or a data set", exists=True),
    target: Path = Arg(..., help="Folder for train.spacy, dev.spacy and test.spacy", file_okay=False),
    kind: str = Opt(AUTO, "--type", "-t", help="Type of the data, see below; auto looks at suffixes and at the first line"),
    lang: str = Opt("xx", "--lang", "-l", help="Language whose tokenizer to use: spaCy's code, several separated by commas, or xx for any mixture"),
    names: Optional[str] = Opt(None, "--names", "-n", help="Data sets to take, separated by commas; * stands for anything [default: all]"),
    exclude: Optional[str] = Opt(None, "--exclude", "-x", help="Data sets to leave out, likewise"),
    labels: Optional[str] = Opt(None, "--labels", "-L", help="Labels of entities and spans to keep, separated by commas [default: all]"),
    group: int = Opt(1, "--group", "-g", help="Consecutive sentences in a Doc (conll, conllu)", min=1),
    spans_key: Optional[str] = Opt(None, "--spans-key", "-k", help="Write spans to doc.spans[KEY], where they may overlap, instead of doc.ents"),
    morph: bool = Opt(True, "--morph/--no-morph", help="Keep morphological features (conllu)"),
    dev: float = Opt(0.1, "--dev", help="Share of dev, for files whose name has no split", min=0, max=1),
    test: float = Opt(0.2, "--test", help="Share of test, likewise", min=0, max=1),
    seed: int = Opt(0, "--seed", "-s", help="Seed of the splits and of the order of train.spacy"),
    json_path: Optional[Path] = Opt(None, "--json", "-j", help="Write the counts to this file too", dir_okay=False),
) -> None:  # fmt: skip
    """
    Convert annotated data to .spacy files for spacy train. Sentences of CoNLL
    files are written as they would stand in print, and annotation is put on
    the tokens of the text. Files without a split in their name are split, and
    what belongs together stays together. The name of the data set is on
    doc.user_data["lang"], what a record has under "meta" beside it.
    """
    if kind != AUTO and kind not in KINDS:
        raise InputError(f"Expected one of the types {', '.join((AUTO, *KINDS))}; got {kind!r}.")
    code = find_language(lang)[0]
    settings = Settings(
        names=_listed(names), exclude=_listed(exclude), labels=_listed(labels), group=group, spans_key=spans_key,
        morph=morph, dev=dev, test=test, seed=seed, default=code,
    )  # fmt: skip
    check_folder(target)
    check_file(json_path)
    found = guess_kind(source) if kind == AUTO else kind
    report = convert(source, target, found, make_tokenizing(lang), settings, show=_with_bar)
    show(report)
    if json_path is not None:
        rows = [{"name": name, "split": split, **counts} for (name, split), counts in report.items()]
        json_path.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n", encoding="utf8")
    msg.good(f"Converted {found} data", target.resolve())
    warn(report, spans_key)


def make_tokenizing(lang: str) -> Language:
    """lang (str): As for `find_language`.
    RETURNS (Language): A pipeline with nothing but a tokenizer.
    """
    code, tokenizer = find_language(lang)
    return spacy.blank(code, config={"nlp": {"tokenizer": dict(tokenizer)}} if tokenizer else {})


def show(report: Report) -> None:
    """Print a table of the counts, with totals in the last row."""
    columns = [name for name in COLUMNS if name in total(report)]
    rows = [
        (name, split, *(f"{counts[column]:,}" for column in columns))
        for (name, split), counts in sorted(report.items())
    ]
    rows.append(("all", "", *(f"{total(report)[column]:,}" for column in columns)))
    aligns: List[Align] = ["l", "l", *(["r"] * len(columns))]  # type: ignore[list-item]
    print(table(rows, header=("DATA SET", "SPLIT", *map(str.upper, columns)), divider=True, aligns=aligns))


def warn(report: Report, spans_key: Optional[str] = None) -> None:
    """Say what was changed or lost, and what training will miss."""
    counts = total(report)
    if counts.get("expanded"):
        msg.warn(f"{counts['expanded']:,} annotations end inside a token and were expanded to whole tokens.")
    if counts.get("dropped"):
        advice = "." if spans_key else "; with --spans-key sc they are kept, for spancat."
        msg.warn(
            f"{counts['dropped']:,} annotations without a token, or that overlap others, were left out{advice}"
        )
    missing = [split for split in ("train", "dev") if split not in {split for _, split in report}]
    if missing:
        msg.warn(f"There is no {' and no '.join(missing)} data: spacy train needs both.")


def _with_bar(samples: Iterable[Sample]) -> Iterator[Sample]:
    with tqdm(samples, unit=" docs", disable=None, leave=False) as bar:
        yield from bar


def _listed(names: Optional[str]) -> Optional[List[str]]:
    return [name.strip() for name in names.split(",") if name.strip()] if names else None
