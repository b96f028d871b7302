"""Score the entities, the categories, or parts of speech and syntax of a trained pipeline by language, or say how
surprising texts are for one with `bloom_surprisal`.

Reads the gold Docs of `<split>.<lang>.spacy` files (`scripts/convert_ner.py`, `convert_textcat.py` and `convert_ud.py`
write them). Of entities it prints precision, recall and F by language, with the micro average (every entity counts the
same) and the macro average (every language does); of categories (`--task cats`) accuracy and the mean F of the labels,
over all Docs and averaged over the languages; of syntax (`--task syntax`) the accuracy of parts of speech and, without
punctuation, of heads (UAS) and of heads with their relations (LAS), on the treebank's words; of surprisal
(`--task bits`) the mean bits of a UTF-8 byte.

    python scripts/evaluate_by_language.py training/model-best corpus --json scores.json
"""

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import spacy
from spacy.language import Language
from spacy.pipeline.dep_parser import parser_score
from spacy.scorer import Scorer, get_ner_prf
from spacy.tokens import Doc, DocBin
from spacy.training import Example

Row = dict[str, float]
COLUMNS = {
    "ents": ("docs", "gold", "predicted", "precision", "recall", "f_score"),
    "cats": ("docs", "right", "accuracy", "f_score"),
    "syntax": ("docs", "tokens", "pos_acc", "uas", "las"),
    "bits": ("docs", "bytes", "bits_per_byte"),
}
COUNTS = ("docs", "tokens", "gold", "predicted", "right", "bytes")
WIDTH = 17  # of a column


def read_examples(nlp: Language, path: Path, *, gold_tokens: bool = False) -> list[Example]:
    """Pair every gold Doc with its text.

    nlp (Language): the pipeline.
    path (Path): a `.spacy` file.
    gold_tokens (bool): take the gold tokens, instead of those that the pipeline makes of the text.
    RETURNS (list[Example]): one example for each Doc.
    """
    gold = DocBin(store_user_data=True).from_disk(path).get_docs(nlp.vocab)
    if gold_tokens:
        return [Example(Doc(nlp.vocab, *_words(doc)), doc) for doc in gold]
    return [Example(nlp.make_doc(doc.text), doc) for doc in gold]


def _words(doc: Doc) -> tuple[list[str], list[bool]]:
    return [token.text for token in doc], [bool(token.whitespace_) for token in doc]


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
    return {name: sum(each[name] for each in rows) / len(rows) for name in rows[0] if name not in COUNTS}


class RowScorer:
    """What `nlp.evaluate` asks for its scores: a row. It keeps the Docs for an average.

    score_row (Callable[[list[Example]], Row]): `category_row` or `syntax_row`.
    """

    def __init__(self, score_row: Callable[[list[Example]], Row]) -> None:
        self.score_row = score_row
        self.seen: list[Example] = []

    def score(self, examples: list[Example], *, per_component: bool = False) -> Row:
        """Score some Docs.

        examples (list[Example]): gold and predicted Docs.
        per_component (bool): is not used; the annotation is scored, whoever has set it.
        RETURNS (Row): their scores.
        """
        self.seen += examples
        return self.score_row(examples)

    def average(self) -> Row:
        """RETURNS (Row): the scores of all Docs that were scored."""
        return self.score_row(self.seen)


def category_row(examples: list[Example]) -> Row:
    """Score predicted Docs. Those without gold categories are left out.

    examples (list[Example]): gold and predicted Docs.
    RETURNS (Row): counts of Docs and of those whose best label is a gold one, their share, and the mean F of the
        labels that are annotated.
    """
    annotated = [example for example in examples if example.reference.cats]
    labels = {label for example in annotated for label in example.reference.cats}
    scores = Scorer.score_cats(annotated, "cats", labels=labels, multi_label=_has_several(annotated))
    right = sum(example.reference.cats.get(_best(example), 0.0) > 0 for example in annotated)
    return {
        "docs": len(annotated),
        "right": right,
        "accuracy": right / len(annotated) if annotated else 0.0,
        "f_score": scores["cats_macro_f"],
    }


def _best(example: Example) -> str | None:
    cats = example.predicted.cats
    return max(cats, key=cats.__getitem__) if any(cats.values()) else None


def _has_several(examples: list[Example]) -> bool:
    """Say whether the gold labels are not exclusive: a Doc has more or fewer than one."""
    return any(sum(example.reference.cats.values()) != 1 for example in examples)


def syntax_row(examples: list[Example]) -> Row:
    """Score predicted Docs by the scorers of spaCy's morphologizer and parser; what no component has set has 0.

    examples (list[Example]): gold and predicted Docs.
    RETURNS (Row): counts of Docs and of gold tokens, and the share of right parts of speech, heads, and heads with
        relations.
    """
    pos = Scorer.score_token_attr(examples, "pos")
    parsed = any(example.predicted.has_annotation("DEP") for example in examples)
    heads = parser_score(examples) if parsed else {}
    return {
        "docs": len(examples),
        "tokens": sum(len(example.reference) for example in examples),
        "pos_acc": pos["pos_acc"] or 0.0,
        "uas": heads.get("dep_uas") or 0.0,
        "las": heads.get("dep_las") or 0.0,
    }


def surprisal_row(docs: Iterable[Doc]) -> Row:
    """docs (Iterable[Doc]): annotated by `bloom_surprisal`; one without pieces, whose mean is NaN, has no part.
    RETURNS (Row): counts of Docs and of their bytes, and the mean bits of a byte.
    """
    measured = [(doc._.bits_per_byte, len(doc.text.encode("utf8"))) for doc in docs]
    measured = [(bits, n_bytes) for bits, n_bytes in measured if bits == bits]
    total = sum(n_bytes for _, n_bytes in measured)
    bits = sum(bits * n_bytes for bits, n_bytes in measured)
    return {"docs": len(measured), "bytes": total, "bits_per_byte": bits / total if total else 0.0}


def evaluate_folder(
    nlp: Language, folder: Path, *, split: str = "test", task: str = "ents", batch_size: int = 64
) -> dict[str, Row]:
    """Score every language of a folder.

    nlp (Language): the pipeline.
    folder (Path): holds `<split>.<lang>.spacy` files.
    split (str): which of them to read.
    task (str): "ents", "cats", "syntax" or "bits".
    batch_size (int): number of Docs in a batch.
    RETURNS (dict[str, Row]): by language, and under "micro" and "macro" the averages.
    RAISES (ValueError): when the folder holds no such file.
    """
    paths = sorted(folder.glob(f"{split}.*.spacy"))
    if not paths:
        raise ValueError(
            f"{folder} holds no {split}.LANG.spacy file; scripts/convert_ner.py and the like write them."
        )
    rows = {}
    scorer = RowScorer(syntax_row if task == "syntax" else category_row)
    for path in paths:
        examples = read_examples(nlp, path, gold_tokens=task == "syntax")
        if task == "ents":
            scores = evaluate(nlp, examples, batch_size)
        elif task == "bits":
            scores = surprisal_row(nlp.pipe((eg.predicted for eg in examples), batch_size=batch_size))
        else:  # spaCy adds the speed
            scores = nlp.evaluate(examples, batch_size=batch_size, scorer=scorer)
            scores = {name: scores[name] for name in COLUMNS[task]}
        rows[path.name.split(".")[1]] = scores
    by_language = list(rows.values())
    micro = {
        "ents": lambda: micro_average(by_language),
        "cats": scorer.average,
        "syntax": scorer.average,
        "bits": lambda: mean_of_bytes(by_language),
    }[task]()
    return {**rows, "micro": micro, "macro": macro_average(by_language)}


def mean_of_bytes(rows: list[Row]) -> Row:
    total = sum(each["bytes"] for each in rows)
    bits = sum(each["bits_per_byte"] * each["bytes"] for each in rows)
    docs = sum(each["docs"] for each in rows)
    return {"docs": docs, "bytes": total, "bits_per_byte": bits / total if total else 0.0}


def table(rows: dict[str, Row], task: str = "ents") -> str:
    names = COLUMNS[task]
    lines = ["".join(f"{name:>{WIDTH}}" for name in ("lang", *names))]
    for lang, values in rows.items():
        cells = [_cell(values, name) for name in names]
        lines.append("".join(f"{cell:>{WIDTH}}" for cell in (lang, *cells)))
    return "\n".join(lines)


def _cell(values: Row, name: str) -> str:
    if name in COUNTS:
        return str(values.get(name, ""))
    return f"{values[name]:.3f}" if name == "bits_per_byte" else f"{100 * values[name]:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pipeline", help="directory or package name of a trained pipeline")
    parser.add_argument("corpus", type=Path, help="folder of SPLIT.LANG.spacy files")
    parser.add_argument("--task", choices=sorted(COLUMNS), default="ents", help="default: ents")
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
        rows = evaluate_folder(
            nlp,
            arguments.corpus,
            split=arguments.split,
            task=arguments.task,
            batch_size=arguments.batch_size,
        )
    except ValueError as error:
        parser.exit(1, f"{error}\n")
    print(table(rows, arguments.task))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
