"""Score the entities of a trained pipeline by language.

Reads the gold Docs of `<split>.<lang>.spacy` files (`scripts/convert_ner.py` writes them), and prints precision,
recall and F by language, with the micro average (every entity counts the same) and the macro average (every
language does).

    python scripts/evaluate_by_language.py training/model-best corpus --json scores.json
"""

import argparse
import json
from pathlib import Path

import spacy
from spacy.language import Language
from spacy.scorer import get_ner_prf
from spacy.tokens import DocBin
from spacy.training import Example

Row = dict[str, float]


def read_examples(nlp: Language, path: Path) -> list[Example]:
    """Pair every gold Doc with its text, tokenized by the pipeline.

    nlp (Language): the pipeline.
    path (Path): a `.spacy` file.
    RETURNS (list[Example]): one example for each Doc.
    """
    gold = DocBin(store_user_data=True).from_disk(path).get_docs(nlp.vocab)
    return [Example(nlp.make_doc(doc.text), doc) for doc in gold]


class EntityScorer:
    """What `nlp.evaluate` asks for its scores: those of the entities only, with their counts."""

    def score(self, examples: list[Example], *, per_component: bool = False) -> Row:
        """Score the entities.

        examples (list[Example]): gold and predicted Docs.
        per_component (bool): is not used; the entities of a Doc are scored, whoever has set them.
        RETURNS (Row): the recall, and the counts of predicted and gold entities.
        """
        predicted = sum(len(example.predicted.ents) for example in examples)
        gold = sum(len(example.reference.ents) for example in examples)
        return {"recall": get_ner_prf(examples)["ents_r"] or 0.0, "predicted": predicted, "gold": gold}


def evaluate(nlp: Language, examples: list[Example], batch_size: int = 64) -> Row:
    """Score the entities of one language.

    nlp (Language): the pipeline.
    examples (list[Example]): gold Docs.
    batch_size (int): number of Docs in a batch.
    RETURNS (Row): counts of Docs and of right, predicted and gold entities, and precision, recall and F.
    """
    scores = nlp.evaluate(examples, batch_size=batch_size, scorer=EntityScorer())
    predicted, gold = int(scores["predicted"]), int(scores["gold"])
    # spaCy gives no counts; every right entity is a gold one, so that the recall tells their number exactly.
    return row(docs=len(examples), right=round(scores["recall"] * gold), predicted=predicted, gold=gold)


def row(*, docs: int, right: int, predicted: int, gold: int) -> Row:
    precision = right / predicted if predicted else 0.0
    recall = right / gold if gold else 0.0
    f_score = 2 * right / (predicted + gold) if right else 0.0
    counts = {"docs": docs, "right": right, "predicted": predicted, "gold": gold}
    return {**counts, "precision": precision, "recall": recall, "f_score": f_score}


def micro_average(rows: list[Row]) -> Row:
    return row(**{name: sum(each[name] for each in rows) for name in ("docs", "right", "predicted", "gold")})


def macro_average(rows: list[Row]) -> Row:
    return {name: sum(each[name] for each in rows) / len(rows) for name in ("precision", "recall", "f_score")}


def evaluate_folder(
    nlp: Language, folder: Path, *, split: str = "test", batch_size: int = 64
) -> dict[str, Row]:
    """Score every language of a folder.

    nlp (Language): the pipeline.
    folder (Path): holds `<split>.<lang>.spacy` files.
    split (str): which of them to read.
    batch_size (int): number of Docs in a batch.
    RETURNS (dict[str, Row]): by language, and under "micro" and "macro" the averages.
    RAISES (ValueError): when the folder holds no such file.
    """
    paths = sorted(folder.glob(f"{split}.*.spacy"))
    if not paths:
        raise ValueError(f"{folder} holds no {split}.LANG.spacy file; scripts/convert_ner.py writes them.")
    rows = {}
    for path in paths:
        rows[path.name.split(".")[1]] = evaluate(nlp, read_examples(nlp, path), batch_size)
    by_language = list(rows.values())
    return {**rows, "micro": micro_average(by_language), "macro": macro_average(by_language)}


def table(rows: dict[str, Row]) -> str:
    counts, scores = ("docs", "gold", "predicted"), ("precision", "recall", "f_score")
    lines = ["".join(f"{name:>11}" for name in ("lang", *counts, *scores))]
    for lang, values in rows.items():
        cells = [
            lang,
            *(str(values.get(name, "")) for name in counts),
            *(f"{100 * values[name]:.2f}" for name in scores),
        ]
        lines.append("".join(f"{cell:>11}" for cell in cells))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pipeline", help="directory or package name of a trained pipeline")
    parser.add_argument("corpus", type=Path, help="folder of SPLIT.LANG.spacy files")
    parser.add_argument("--split", default="test", help="test (the default) or dev")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the scores to this file too")
    parser.add_argument(
        "--batch-size", type=int, default=64, metavar="N", help="Docs in a batch (default 64)"
    )
    parser.add_argument("--gpu", type=int, default=-1, metavar="ID", help="GPU to use (default -1: none)")
    arguments = parser.parse_args()
    if arguments.gpu >= 0:
        spacy.require_gpu(arguments.gpu)
    nlp = spacy.load(arguments.pipeline)
    try:
        rows = evaluate_folder(nlp, arguments.corpus, split=arguments.split, batch_size=arguments.batch_size)
    except ValueError as error:
        parser.exit(1, f"{error}\n")
    print(table(rows))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
