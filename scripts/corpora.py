"""Writes the corpora of the conversion scripts: one `.spacy` file for each split and each data set."""

import random
from argparse import ArgumentParser, ArgumentTypeError
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path

import spacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin

from spacy_bloom import multilingual_tokenizer  # noqa: F401  (registers the tokenizer)

SPLITS = ("train", "dev", "test")
Report = dict[tuple[str, str], Counter]  # counts by data set and split


def multilingual_pipeline() -> Language:
    """RETURNS (Language): A pipeline with only a tokenizer."""
    return spacy.blank(
        "xx", config={"nlp": {"tokenizer": {"@tokenizers": "spacy-bloom.MultilingualTokenizer.v1"}}}
    )


def write_corpus(
    source: Path,
    target: Path,
    suffix: str,
    read: Callable[[Path, str], tuple[list[Doc], Counter]],
    *,
    names: Collection[str] | None = None,
    seed: int = 0,
) -> Report:
    """Convert a folder of `<name>.<split>.<suffix>` files.

    Writes `<split>.spacy` with all data sets together, and `<split>.<name>.spacy` for dev and test. The name is on
    `doc.user_data["lang"]`. Files of other data sets, left by an earlier conversion, are removed.

    source (Path): The folder.
    target (Path): Folder for the `.spacy` files; created if needed.
    suffix (str): Suffix of the files' names.
    read (Callable): Takes a file's path and name; returns its Docs and counts.
    names (Collection[str] | None): The data sets to convert; all by default.
    seed (int): Seed for the order of the training Docs.
    RETURNS (Report): The counts.
    RAISES (ValueError): As for `find_files`.
    """
    report: Report = {}
    written = set()
    files = find_files(source, suffix, names)
    target.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        together: list[Doc] = []
        for name, path in files[split].items():
            docs, report[name, split] = read(path, name)
            for doc in docs:
                doc.user_data["lang"] = name
            if split != "train":
                written.add(save(docs, target / f"{split}.{name}.spacy"))
            together += docs
        if split == "train":
            random.Random(seed).shuffle(together)
        if together:
            written.add(save(together, target / f"{split}.spacy"))
    remove_others(target, written, {path.name.split(".")[0] for path in source.glob(f"*.{suffix}")})
    return report


def find_files(source: Path, suffix: str, names: Collection[str] | None = None) -> dict[str, dict[str, Path]]:
    """RETURNS (dict[str, dict[str, Path]]): The files of the chosen data sets, by split and data set.
    RAISES (ValueError): There is no such file, or there are two for one data set and split.
    """
    files: dict[str, dict[str, Path]] = {split: {} for split in SPLITS}
    for split, found in files.items():
        for path in sorted(source.glob(f"*.{split}.{suffix}")):
            name = path.name.split(".")[0]
            if names and name not in names:
                continue
            if name in found:
                raise ValueError(
                    f"{source} holds two files of {name}, {split}; one is {path.name}. The part before the first dot "
                    "is the name of a data set: give each its own."
                )
            found[name] = path
    if not any(files.values()):
        raise ValueError(
            f"{source} holds no file of the chosen data sets named LANG.{{train,dev,test}}.{suffix}."
        )
    return files


def remove_others(target: Path, written: Collection[Path], names: Collection[str]) -> None:
    """Remove the files of an earlier conversion of other data sets, because evaluation reads every file in the folder.

    target (Path): Folder of the `.spacy` files.
    written (Collection[Path]): Files to keep.
    names (Collection[str]): All data sets of the source.
    """
    for split in SPLITS:
        for path in (target / f"{split}.spacy", *(target / f"{split}.{name}.spacy" for name in names)):
            if path not in written:
                path.unlink(missing_ok=True)


def add_group(parser: ArgumentParser) -> None:
    """Add the option --group to a conversion script: the number of sentences in a Doc."""

    def size(text: str) -> int:
        if not text.isdecimal() or int(text) < 1:
            raise ArgumentTypeError(f"must be at least 1, not {text}")
        return int(text)

    parser.add_argument(
        "--group", type=size, default=1, metavar="N", help="consecutive sentences in a Doc (default 1)"
    )


def save(docs: list[Doc], path: Path) -> Path:
    """RETURNS (Path): The path that the Docs were written to."""
    DocBin(docs=docs, store_user_data=True).to_disk(path)
    return path


def table(report: Report, columns: Collection[str]) -> str:
    """RETURNS (str): The counts as a table, with totals in the last row."""
    width = max(len(cell) for cell in (*columns, *(name for name, _ in report))) + 2
    rows = [("lang", "split", *columns)]
    rows += [
        (lang, split, *(str(counts[name]) for name in columns))
        for (lang, split), counts in sorted(report.items())
    ]
    rows.append(("all", "", *(str(sum(counts[name] for counts in report.values())) for name in columns)))
    return "\n".join("".join(f"{cell:>{width}}" for cell in row) for row in rows)
