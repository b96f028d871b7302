"""How accurate are the answers of a trained bloom_question_answerer on each data set, compared with a baseline
without a model?

    python benchmarks/qa.py CORPUS WORK --epochs 10 --json qa.json

CORPUS is a folder with questions written by `bloom convert-data`. The trained pipeline (in WORK/pipeline)
and the table are saved in WORK. An existing pipeline is not trained again. Settings of the config can be changed as in
`spacy train`, e.g. --components.bloom_question_answerer.model.attention bidirectional.

The baseline answers with the k rare tokens closest to the question's rarest words, excluding those words. k and the
maximum distance are chosen for each data set on its dev split.
"""

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product
from math import log
from pathlib import Path
from typing import Any

import numpy
import spacy
from spacy.cli._util import parse_config_overrides
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import load_config
from training import read_docs, steps, train_once

from spacy_bloom.pipeline.answering.answer_scores import METRICS, mean_scores
from spacy_bloom.pipeline.answering.answers import get_answers

ROOT = Path(__file__).parent.parent
CONFIG = ROOT / "configs" / "question_answering.cfg"
SIZES = (1, 2, 3, 4, 6, 8, 12)  # length of the baseline's answers, in tokens
RADII = (2.0, 5.0, 15.0)  # tokens

Asked = tuple[Doc, list[str], list[str]]  # context, words of the question, right answers


def main() -> None:
    args, changes = parse_arguments()
    args.work.mkdir(parents=True, exist_ok=True)
    train(args, changes)
    nlp = spacy.load(args.work / "pipeline" / "model-last")
    baseline = Baseline(args.corpus)
    results = {}
    for path in sorted(args.corpus.glob("test.*.spacy")):
        name = path.name.split(".")[1]
        docs = read_docs(nlp, path)
        scores = nlp.evaluate([Example(nlp.make_doc(doc.text), doc) for doc in docs])
        ours = {metric: scores[f"qa_{metric}"] for metric in METRICS}
        results[name] = {"questions": len(docs), "ours": ours, "baseline": baseline.evaluate(name, docs)}
    text = table(results)
    print(text)
    (args.work / "table.txt").write_text(text + "\n", encoding="utf8")
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf8")


def parse_arguments() -> tuple[argparse.Namespace, dict[str, Any]]:
    """RETURNS (tuple[argparse.Namespace, dict[str, Any]]): The arguments, and the changed settings of the config."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path, help="folder written by `bloom convert-data`")
    parser.add_argument("work", type=Path, help="folder for the trained pipeline and the table")
    parser.add_argument("--checkpoint", default="tiny-bloom", help="the model to train (default: tiny-bloom)")
    parser.add_argument("--epochs", type=int, default=10, help="passes over the data (default: 10)")
    parser.add_argument("--max-steps", type=int, help="stop early, to try out the script")
    parser.add_argument(
        "--gpu", type=int, default=-1, metavar="ID", help="GPU to train on (default: -1, none)"
    )
    parser.add_argument("--json", type=Path, help="file to write the scores to")
    args, rest = parser.parse_known_args()
    return args, parse_config_overrides(rest, env_var=None)


def train(args: argparse.Namespace, changes: Mapping[str, Any]) -> None:
    total = args.max_steps or steps(CONFIG, args.corpus / "train.spacy", args.epochs)
    options = {
        "paths.train": args.corpus / "train.spacy",
        "paths.dev": args.corpus / "dev.spacy",
        "paths.checkpoint": args.checkpoint,
        "training.max_epochs": args.epochs,
        "training.max_steps": total,
        "training.optimizer.learn_rate.total_steps": total,
        "training.eval_frequency": max(total // 5, 1),
    }
    train_once(CONFIG, args.work / "pipeline", options | changes, f"--gpu-id={args.gpu}")


class Baseline:
    """Answers with tokens close to the words of the question.

    corpus (Path): The contexts of its train.spacy determine how rare words are. The sizes are chosen on dev.NAME.spacy.
    """

    def __init__(self, corpus: Path) -> None:
        self.corpus = corpus
        self.nlp = spacy.blank("xx", config={"nlp": {"tokenizer": load_config(CONFIG)["nlp"]["tokenizer"]}})
        contexts = {doc.text: doc for doc in read_docs(self.nlp, corpus / "train.spacy")}.values()
        self.n_contexts = len(contexts)
        self.frequency = Counter(word for doc in contexts for word in {token.lower_ for token in doc})

    def evaluate(self, name: str, docs: Sequence[Doc]) -> dict[str, float | None]:
        """RETURNS (dict[str, float | None]): The scores on the Docs, with the best sizes on the dev split."""
        dev = self.prepare(read_docs(self.nlp, self.corpus / f"dev.{name}.spacy"))

        def on_dev(sizes: tuple[int, float]) -> float:
            scores = self.scores(dev, *sizes)
            return (scores["f1"] or 0.0) + (scores["char_f1"] or 0.0)

        return self.scores(self.prepare(docs), *max(product(SIZES, RADII), key=on_dev))

    def prepare(self, docs: Sequence[Doc]) -> list[Asked]:
        """RETURNS (list[Asked]): The questions of all Docs, split into words."""
        return [
            (doc, [token.lower_ for token in self.nlp.make_doc(question)], [span.text for span in gold])
            for doc in docs
            for question, gold in get_answers(doc).items()
        ]

    def scores(self, asked: Sequence[Asked], size: int, radius: float) -> dict[str, float | None]:
        """RETURNS (dict[str, float | None]): The scores for a length of answers and a maximum distance, in tokens."""
        return mean_scores((self.answer(doc, words, size, radius), gold) for doc, words, gold in asked)

    def answer(self, doc: Doc, words: Sequence[str], size: int, radius: float) -> str:
        """RETURNS (str): The best tokens: rare, close to the words of the question, but not among them."""
        rarity = numpy.array([self.rarity(token) for token in doc])  # (tokens,)
        in_question = numpy.isin([token.lower_ for token in doc], words)
        reach = int(4 * radius)
        kernel = numpy.exp(-numpy.abs(numpy.arange(-reach, reach + 1)) / radius)
        near = numpy.convolve(numpy.where(in_question, rarity, 0.0), kernel)[reach : reach + len(doc)]
        value = numpy.where(in_question, 0.0, near * rarity)
        size = min(size, len(doc))
        start = int(numpy.convolve(value, numpy.ones(size), mode="valid").argmax())
        return doc[start : start + size].text

    def rarity(self, token: spacy.tokens.Token) -> float:
        """RETURNS (float): The inverse document frequency, or 0 for tokens that are not words."""
        if token.is_punct or token.is_space:
            return 0.0
        return log((1 + self.n_contexts) / (1 + self.frequency[token.lower_]))


def table(results: dict[str, dict]) -> str:
    """RETURNS (str): One row for each data set and one for their averages, in per cent."""
    columns = [(system, metric) for system in ("ours", "baseline") for metric in METRICS]
    rows = [["data set", "questions", *(f"{system} {metric}" for system, metric in columns)]]
    for name, result in results.items():
        cells = [f"{100 * (result[system][metric] or 0.0):.1f}" for system, metric in columns]
        rows.append([name, str(result["questions"]), *cells])
    means = [
        sum(result[system][metric] or 0.0 for result in results.values()) / max(len(results), 1)
        for system, metric in columns
    ]
    total = sum(result["questions"] for result in results.values())
    rows.append(["mean", str(total), *(f"{100 * mean:.1f}" for mean in means)])
    return "\n".join("".join(f"{cell:>18}" for cell in row) for row in rows)


if __name__ == "__main__":
    main()
