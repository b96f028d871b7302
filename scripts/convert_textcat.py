"""Make spaCy training data from texts with a label each, in many languages.

Reads `<name>.<split>.jsonl` (`{"text", "label"}` a line), cuts the texts with `spacy-bloom.MultilingualTokenizer.v1`,
and saves `train.spacy`, `dev.spacy` and `test.spacy` with all data sets together, plus `dev.<name>.spacy` and
`test.<name>.spacy`. The name is on `doc.user_data["lang"]`. In `doc.cats`, all labels that a data set has are 0 or 1.

    python scripts/convert_textcat.py data/textcat corpus --select topics
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from corpora import SPLITS, Report, multilingual_pipeline, table, write_corpus
from spacy.language import Language
from spacy.tokens import Doc

SENTIMENT = "_sentiment"  # ends the names of such data sets; all others hold topics
COLUMNS = ("docs", "tokens")


def read_jsonl(path: Path) -> Iterator[tuple[str, str]]:
    """Read the texts of a file.

    path (Path): a JSON object on each line; blank lines are skipped.
    YIELDS (tuple[str, str]): text and label.
    RAISES (ValueError): when a line is not an object with a text and a label.
    """
    for number, line in enumerate(path.read_text(encoding="utf8").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        found = (row.get("text"), row.get("label")) if isinstance(row, dict) else (None, None)
        if not all(isinstance(value, str) for value in found) or not found[1]:
            raise ValueError(
                f'{path}, line {number}: got {line[:80]!r}, expected an object like {{"text": "...", "label": "..."}}.'
            )
        yield found


@cache
def labels_of(folder: Path, name: str) -> tuple[str, ...]:
    """RETURNS (tuple[str, ...]): all labels of a data set, whichever split has them."""
    files = (folder / f"{name}.{split}.jsonl" for split in SPLITS)
    return tuple(sorted({label for file in files if file.is_file() for _, label in read_jsonl(file)}))


def convert_file(nlp: Language, path: Path, labels: Sequence[str]) -> tuple[list[Doc], Counter]:
    """Convert one file.

    nlp (Language): its tokenizer is used.
    path (Path): a file of texts and labels.
    labels (Sequence[str]): all that the data set has.
    RETURNS (tuple[list[Doc], Counter]): the Docs, and how many there are of what.
    """
    docs = []
    for text, label in read_jsonl(path):
        doc = nlp.make_doc(text)
        doc.cats = {each: float(each == label) for each in labels}
        docs.append(doc)
    return docs, Counter(docs=len(docs), tokens=sum(map(len, docs)))


def selected(source: Path, select: Sequence[str]) -> set[str]:
    """Say which data sets are meant.

    source (Path): the folder.
    select (Sequence[str]): names; "topics" and "sentiment" are all of a kind, nothing is all.
    RETURNS (set[str]): names of data sets.
    RAISES (ValueError): when one is not there.
    """
    found = {path.name.split(".")[0] for split in SPLITS for path in source.glob(f"*.{split}.jsonl")}
    sentiment = {name for name in found if name.endswith(SENTIMENT)}
    kinds = {"sentiment": sentiment, "topics": found - sentiment}
    missing = sorted(name for name in select if name not in kinds and name not in found)
    if missing:
        raise ValueError(f"{source} holds no data set called {missing}; it has {sorted(found)}.")
    return {name for each in select for name in kinds.get(each, {each})} if select else found


def convert(source: Path, target: Path, *, select: Sequence[str] = (), seed: int = 0) -> Report:
    """Convert a folder of `<name>.<split>.jsonl` files.

    source (Path): the folder.
    target (Path): where the `.spacy` files go; is made if need be.
    select (Sequence[str]): names of data sets, "topics" or "sentiment"; all by default.
    seed (int): of the order of the training Docs.
    RETURNS (Report): the counts by data set and split.
    RAISES (ValueError): when the folder has no such files, or a line of one is not understood.
    """
    nlp = multilingual_pipeline()

    def read(path: Path, name: str) -> tuple[list[Doc], Counter]:
        return convert_file(nlp, path, labels_of(source, name))

    return write_corpus(source, target, "jsonl", read, names=selected(source, select), seed=seed)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="folder of NAME.SPLIT.jsonl files")
    parser.add_argument("target", type=Path, help="folder for the .spacy files")
    parser.add_argument(
        "--select",
        nargs="+",
        default=[],
        metavar="NAME",
        help="data sets to take: topics, sentiment, or names (default: all)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the order of train.spacy (default 0)")
    arguments = parser.parse_args()
    try:
        report = convert(arguments.source, arguments.target, select=arguments.select, seed=arguments.seed)
    except ValueError as error:
        parser.exit(1, f"{error}\n")
    print(table(report, COLUMNS))


if __name__ == "__main__":
    main()
