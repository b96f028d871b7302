"""How the conversion scripts write a corpus: one `.spacy` file for each split and each data set."""

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
    """RETURNS (Language): only a tokenizer."""
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
    `doc.user_data["lang"]`. Those of data sets that are not taken go, if they are there of an earlier conversion.

    source (Path): the folder.
    target (Path): where the `.spacy` files go; is made if need be.
    suffix (str): ends the names of the files.
    read (Callable): gives the Docs of a file, and how many there are of what, from its path and its name.
    names (Collection[str] | None): the data sets to take; all by default.
    seed (int): of the order of the training Docs.
    RETURNS (Report): the counts.
    RAISES (ValueError): when the folder holds no such file, or two of one data set and split.
    """
    report: Report = {}
    written = set()
    target.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        together: list[Doc] = []
        for path in sorted(source.glob(f"*.{split}.{suffix}")):
            name = path.name.split(".")[0]
            if names and name not in names:
                continue
            if (name, split) in report:
                raise ValueError(
                    f"{source} holds two files of {name}, {split}; one is {path.name}. What stands before the first "
                    "dot is the name of a data set: give them different ones."
                )
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
    if not report:
        raise ValueError(
            f"{source} holds no file of the chosen data sets named LANG.{{train,dev,test}}.{suffix}."
        )
    remove_others(target, written, {path.name.split(".")[0] for path in source.glob(f"*.{suffix}")})
    return report


def remove_others(target: Path, written: Collection[Path], names: Collection[str]) -> None:
    """Remove what an earlier conversion of other data sets has written: evaluation reads all that is there.

    target (Path): where the `.spacy` files are.
    written (Collection[Path]): those that stay.
    names (Collection[str]): all data sets that the source has.
    """
    for split in SPLITS:
        for path in (target / f"{split}.spacy", *(target / f"{split}.{name}.spacy" for name in names)):
            if path not in written:
                path.unlink(missing_ok=True)


def add_group(parser: ArgumentParser) -> None:
    """Give a conversion script the option --group: sentences in a Doc, at least 1."""

    def size(text: str) -> int:
        if not text.isdecimal() or int(text) < 1:
            raise ArgumentTypeError(f"must be at least 1, not {text}")
        return int(text)

    parser.add_argument(
        "--group", type=size, default=1, metavar="N", help="consecutive sentences in a Doc (default 1)"
    )


def save(docs: list[Doc], path: Path) -> Path:
    """RETURNS (Path): where the Docs were written to."""
    DocBin(docs=docs, store_user_data=True).to_disk(path)
    return path


def table(report: Report, columns: Collection[str]) -> str:
    """RETURNS (str): the counts, with their sums in the last row."""
    width = max(len(cell) for cell in (*columns, *(name for name, _ in report))) + 2
    rows = [("lang", "split", *columns)]
    rows += [
        (lang, split, *(str(counts[name]) for name in columns))
        for (lang, split), counts in sorted(report.items())
    ]
    rows.append(("all", "", *(str(sum(counts[name] for counts in report.values())) for name in columns)))
    return "\n".join("".join(f"{cell:>{width}}" for cell in row) for row in rows)
