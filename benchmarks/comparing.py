"""Trains several pipelines on the same data for the same epochs, and compares their scores by language."""

import argparse
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import spacy
import torch
from spacy.tokens import DocBin
from spacy.util import load_config

from spacy_bloom import BloomModel, BloomTokenizerFast

ROOT = Path(__file__).parent.parent
PRETRAINED, RANDOM = "tiny-bloom", "random"


@dataclass(frozen=True)
class Comparison:
    """What is compared: BLOOM pre-trained and with random weights, and a pipeline of spaCy's own.

    task (str): What scripts/evaluate_by_language.py calls it.
    config (Path): BLOOM's config.
    baseline (str): Name of spaCy's own pipeline in the table.
    baseline_config (Path): Its config.
    scores (Sequence[str]): What is shown, of the scores by language.
    """

    task: str
    config: Path
    baseline: str
    baseline_config: Path
    scores: tuple[str, ...]

    @property
    def systems(self) -> tuple[str, ...]:
        """RETURNS (tuple[str, ...]): Names of all pipelines."""
        return PRETRAINED, RANDOM, self.baseline


def compare(comparison: Comparison, description: str | None) -> None:
    """Read the command line, train what is not trained yet, evaluate, and print the tables."""
    args = parse_arguments(comparison, description)
    args.work.mkdir(parents=True, exist_ok=True)
    for system in args.systems:
        train(comparison, system, args)
    results = {
        system: evaluate(comparison, args.work / system / "model-last", args) for system in args.systems
    }
    for score in comparison.scores:
        print_table(results, score)
    if args.json:
        args.json.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf8")


def parse_arguments(comparison: Comparison, description: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path, help="folder with train.spacy, dev.spacy and test.LANG.spacy")
    parser.add_argument("work", type=Path, help="folder for the trained pipelines")
    parser.add_argument(
        "--checkpoint", default="tiny-bloom", help="the pre-trained model (default: tiny-bloom)"
    )
    parser.add_argument("--epochs", type=int, default=3, help="passes over the data (default: 3)")
    parser.add_argument(
        "--systems",
        nargs="+",
        choices=comparison.systems,
        default=comparison.systems,
        help="which to train (default: all)",
    )
    parser.add_argument("--json", type=Path, help="write the scores to this file")
    return parser.parse_args()


def train(comparison: Comparison, system: str, args: argparse.Namespace) -> None:
    output, unfinished = args.work / system, args.work / f"{system}-unfinished"
    if output.is_dir():
        return
    if unfinished.is_dir():
        shutil.rmtree(unfinished)
    config = comparison.baseline_config if system == comparison.baseline else comparison.config
    options = [f"--training.max_epochs={args.epochs}"]
    if system != comparison.baseline:
        # the learning rate reaches 0 there
        options.append(f"--training.max_steps={steps(comparison.config, args)}")
        checkpoint = args.checkpoint if system == PRETRAINED else random_twin(args.checkpoint, args.work)
        options.append(f"--paths.checkpoint={checkpoint}")
    data = [f"--paths.train={args.corpus / 'train.spacy'}", f"--paths.dev={args.corpus / 'dev.spacy'}"]
    command = [
        sys.executable,
        "-m",
        "spacy",
        "train",
        str(config),
        "--output",
        str(unfinished),
        *data,
        *options,
    ]
    subprocess.run(command, check=True)
    unfinished.rename(output)  # `spacy train` writes model-last at every evaluation, not only at the end


def steps(config: Path, args: argparse.Namespace) -> int:
    """RETURNS (int): Batches of the config's size in all epochs, and a few more: the epochs shall end first."""
    words_per_batch = load_config(config)["training"]["batcher"]["size"]
    docs = DocBin().from_disk(args.corpus / "train.spacy").get_docs(spacy.blank("xx").vocab)
    return round(1.05 * args.epochs * sum(len(doc) for doc in docs) / words_per_batch)


def random_twin(checkpoint: str, work: Path) -> Path:
    """RETURNS (Path): A checkpoint with the same geometry and tokenizer, and random weights."""
    path = work / "random-checkpoint"
    config = BloomModel.from_pretrained(checkpoint).config
    torch.manual_seed(0)
    BloomModel(config).save_pretrained(path)
    BloomTokenizerFast.from_pretrained(checkpoint).save_pretrained(path)
    return path


def evaluate(comparison: Comparison, pipeline: Path, args: argparse.Namespace) -> dict:
    """RETURNS (dict): What scripts/evaluate_by_language.py writes."""
    output = pipeline.parent / "by_language.json"
    if not output.is_file():
        script = ROOT / "scripts" / "evaluate_by_language.py"
        options = ["--task", comparison.task, "--json", output]
        subprocess.run([sys.executable, script, pipeline, args.corpus, *options], check=True)
    return json.loads(output.read_text(encoding="utf8"))


def print_table(results: dict[str, dict], score: str) -> None:
    rows = list(next(iter(results.values())))
    width = max(map(len, [score, *rows])) + 2
    print(f"\n{score:>{width}}" + "".join(f"{system:>12}" for system in results))
    for row in rows:
        print(f"{row:>{width}}" + "".join(f"{100 * scores[row][score]:12.1f}" for scores in results.values()))
