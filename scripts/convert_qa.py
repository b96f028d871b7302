"""Make spaCy training data from questions about texts in many languages.

Reads `<data set>.jsonl` (`id`, `context`, `question`, `answers` as a list of `text` and `start` in characters, and
`article` if there is one), cuts the contexts with `spacy-bloom.MultilingualTokenizer.v1`, and saves `train.spacy`,
`dev.spacy` and `test.spacy` with all data sets together, plus `dev.<data set>.spacy` and `test.<data set>.spacy`.
Each Doc is a context with one question and its answers, as `doc.spans["answers"]` holds them
(`spacy_bloom.pipeline.answering.answers`). The name of the data set, a language or a language and a suffix, is on
`doc.user_data["lang"]`.

Whatever shares an article, a context or an id goes into one split: the same text in another language is no new text.

    python scripts/convert_qa.py data/qa corpus
"""

import argparse
import json
import random
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from corpora import SPLITS, multilingual_pipeline, remove_others, save
from spacy.language import Language
from spacy.tokens import Doc

from spacy_bloom.pipeline.answering.answers import Answer, set_answers


class Item(NamedTuple):
    """A question about a context, with its answers by characters: text and start."""

    name: str
    id: str
    article: str | None
    context: str
    question: str
    answers: tuple[tuple[str, int], ...]


# ---- Files to items --------------------------------------------------------------------


def read_items(path: Path) -> Iterator[Item]:
    """Read the questions of a file.

    path (Path): One JSON object on each line. Its name is the name of the data set.
    YIELDS (Item): The questions.
    RAISES (ValueError): when a line is not such an object, or an answer does not stand where it says.
    """
    with path.open(encoding="utf8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    yield make_item(path.stem, json.loads(line))
                except (ValueError, KeyError, TypeError) as error:
                    raise ValueError(
                        f"{path}, line {number}: expected id, context, question, and answers of text and start "
                        f"that stand there in the context; got {error!r}."
                    ) from None


def make_item(name: str, row: dict) -> Item:
    """RETURNS (Item): The question on a line. RAISES (ValueError, KeyError, TypeError): when it is no question."""
    context, question, article = row["context"], row["question"], row.get("article")
    if not (isinstance(context, str) and isinstance(question, str)):
        raise TypeError(f"the question {question!r} about {context!r:.40}")
    answers = tuple((answer["text"], answer["start"]) for answer in row["answers"])
    for text, start in answers:
        if not text or context[start : start + len(text)] != text:
            raise ValueError(f"the answer {text!r} at {start}")
    return Item(name, str(row["id"]), None if article is None else str(article), context, question, answers)


def merge(items: list[Item]) -> list[Item]:
    """RETURNS (list[Item]): Each question once for each context, with the answers of all its copies."""
    merged: dict[tuple[str, str, str], Item] = {}
    for item in items:
        key = (item.name, item.context, item.question)
        before = merged.get(key, item)
        merged[key] = before._replace(answers=tuple(dict.fromkeys(before.answers + item.answers)))
    return list(merged.values())


# ---- Items to splits -------------------------------------------------------------------


def group_items(items: list[Item]) -> list[list[Item]]:
    """Put together what shares an article of one data set, a context, or an id of any.

    RETURNS (list[list[Item]]): In the order of their first items.
    """
    parent: dict[tuple, tuple] = {}

    def root(key: tuple) -> tuple:
        while parent.setdefault(key, key) != key:
            parent[key] = key = parent[parent[key]]
        return key

    for item in items:
        keys = [("context", item.context), ("id", item.id)]
        if item.article is not None:
            keys.append(("article", item.name, item.article))
        for key in keys[1:]:
            parent[root(key)] = root(keys[0])
    groups: dict[tuple, list[Item]] = defaultdict(list)
    for item in items:
        groups[root(("context", item.context))].append(item)
    return list(groups.values())


def split_items(items: list[Item], *, dev: float, test: float, seed: int) -> dict[str, list[Item]]:
    """Split by groups, those of the same data sets among themselves, so that each has its share everywhere.

    dev, test (float): shares of the questions.
    seed (int): of the order in which groups are dealt out.
    RETURNS (dict[str, list[Item]]): items by split.
    """
    kinds: dict[tuple[str, ...], list[list[Item]]] = defaultdict(list)
    for group in group_items(items):
        kinds[tuple(sorted({item.name for item in group}))].append(group)
    splits: dict[str, list[Item]] = {split: [] for split in SPLITS}
    for kind, groups in sorted(kinds.items()):
        groups.sort(key=lambda group: min((item.name, item.id) for item in group))
        random.Random(f"{seed} {kind}").shuffle(groups)
        total, dealt = sum(map(len, groups)), 0
        end_of_test, end_of_dev = round(test * total), round((test + dev) * total)
        for group in groups:
            split = "test" if dealt < end_of_test else "dev" if dealt < end_of_dev else "train"
            splits[split] += group
            dealt += len(group)
    return splits


# ---- Items to Docs ---------------------------------------------------------------------


def make_doc(nlp: Language, item: Item, counts: Counter) -> Doc:
    """Tokenize a context and put the answers on its tokens.

    An answer whose border falls inside a token is expanded to whole tokens. Answers are counted as "exact",
    "expanded" or "dropped", the last where nothing of them is on any token.

    nlp (Language): its tokenizer is used.
    item (Item): the question.
    counts (Counter): is added to.
    RETURNS (Doc): with one question in its spans.
    """
    doc = nlp.make_doc(item.context)
    answers = []
    for text, start in item.answers:
        exact = doc.char_span(start, start + len(text))
        span = exact or doc.char_span(start, start + len(text), alignment_mode="expand")
        counts["dropped" if span is None else "expanded" if exact is None else "exact"] += 1
        if span is not None:
            answers.append(Answer(span.start, span.end))
    set_answers(doc, {item.question: list(dict.fromkeys(answers))})
    doc.user_data["lang"] = item.name
    counts["questions"] += 1
    counts["tokens"] += len(doc)
    return doc


def convert(
    source: Path,
    target: Path,
    *,
    dev: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
    names: Collection[str] | None = None,
) -> dict[tuple[str, str], Counter]:
    """Convert a folder of `<data set>.jsonl` files.

    source (Path): the folder.
    target (Path): where the `.spacy` files go; is made if need be.
    dev, test (float): shares of the questions.
    seed (int): of the splits and of the order of the training Docs.
    names (Collection[str] | None): the data sets to take; all by default.
    RETURNS (dict[tuple[str, str], Counter]): the counts by data set and split.
    RAISES (ValueError): when the folder holds no such file.
    """
    paths = [path for path in sorted(source.glob("*.jsonl")) if not names or path.stem in names]
    if not paths:
        raise ValueError(f"{source} holds no file of the chosen data sets named NAME.jsonl.")
    nlp = multilingual_pipeline()
    items = merge([item for path in paths for item in read_items(path)])
    report: dict[tuple[str, str], Counter] = defaultdict(Counter)
    written: list[Path] = []
    target.mkdir(parents=True, exist_ok=True)
    for split, chosen in split_items(items, dev=dev, test=test, seed=seed).items():
        docs: dict[str, list[Doc]] = defaultdict(list)
        for item in chosen:
            docs[item.name].append(make_doc(nlp, item, report[item.name, split]))
        together = [doc for own in docs.values() for doc in own]
        if split == "train":
            random.Random(seed).shuffle(together)
        else:
            for name, own in docs.items():
                written.append(save(own, target / f"{split}.{name}.spacy"))
        written.append(save(together, target / f"{split}.spacy"))
    remove_others(target, written, {path.stem for path in source.glob("*.jsonl")})
    return dict(report)


def table(report: dict[tuple[str, str], Counter]) -> str:
    columns = ("questions", "tokens", "exact", "expanded", "dropped")
    rows = [("data set", "split", *columns)]
    rows += [
        (name, split, *(str(counts[column]) for column in columns))
        for (name, split), counts in sorted(report.items())
    ]
    rows.append(("all", "", *(str(sum(counts[column] for counts in report.values())) for column in columns)))
    return "\n".join("".join(f"{cell:>12}" for cell in row) for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="folder of NAME.jsonl files")
    parser.add_argument("target", type=Path, help="folder for the .spacy files")
    parser.add_argument("--dev", type=float, default=0.1, help="share of the questions (default 0.1)")
    parser.add_argument("--test", type=float, default=0.2, help="share of the questions (default 0.2)")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the splits and of the order of train.spacy (default 0)"
    )
    parser.add_argument("--names", nargs="+", metavar="NAME", help="data sets to take (default: all)")
    arguments = parser.parse_args()
    if min(arguments.dev, arguments.test) < 0 or arguments.dev + arguments.test > 1:
        parser.error(f"--dev and --test must be shares, not {arguments.dev} and {arguments.test}")
    options = {name: getattr(arguments, name) for name in ("dev", "test", "seed", "names")}
    try:
        print(table(convert(arguments.source, arguments.target, **options)))
    except ValueError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
