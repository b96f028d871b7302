"""Train several pipelines on the same data for the same number of epochs and compare their scores by language."""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from training import cpu_minutes, steps, thin_out, train_once

from spacy_bloom import BloomModel, BloomTokenizerFast

ROOT = Path(__file__).parent.parent
MODEL = "components.transformer.model"
FROZEN = {f"{MODEL}.train_transformer": False, f"{MODEL}.reuse": {"max_mb": 6000}}
LORA = {
    f"{MODEL}.lora": {
        "r": 16,
        "alpha": 32,
        "targets": ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"],
    }
}
# Of tiny-bloom's six layers. The causal ones tell left from right. Without training, four predict masked pieces best.
BIDIRECTIONAL = {f"{MODEL}.attention": "bidirectional", f"{MODEL}.bidirectional_layers": 4}


@dataclass(frozen=True)
class System:
    """A way to train BLOOM.

    checkpoint (str): "pretrained", "random" or "adapted".
    settings (Mapping[str, Any]): Settings of its config.
    """

    checkpoint: str
    settings: Mapping[str, Any] = field(default_factory=dict)


SYSTEMS = {
    "tiny-bloom": System("pretrained"),
    "frozen": System("pretrained", FROZEN),
    "lora": System("pretrained", LORA),
    "bidirectional": System("pretrained", BIDIRECTIONAL),
    "bidirectional-frozen": System("pretrained", BIDIRECTIONAL | FROZEN),
    "bidirectional-lora": System("pretrained", BIDIRECTIONAL | LORA),
    "adapted": System("adapted", BIDIRECTIONAL),
    "adapted-frozen": System("adapted", BIDIRECTIONAL | FROZEN),
    "adapted-lora": System("adapted", BIDIRECTIONAL | LORA),
    "random": System("random"),
    "random-bidirectional": System("random", BIDIRECTIONAL),
}
ABOUT_SYSTEMS = """
WORK keeps the pipelines whose training came to its end; what is there already is not trained again, so that an
interrupted run can be taken up; with other settings it has to be another folder.

Systems: "tiny-bloom" is --checkpoint, all of it trained; "random" is the same architecture with random weights;
"bidirectional" has attention to both sides in its last four layers; "adapted" likewise, from --adapted, which
`train-lm` with the objective "mntp" has made of --checkpoint; "frozen" trains the head alone, "lora" adapters and the
head.
"""


@dataclass(frozen=True)
class Comparison:
    """A comparison of BLOOM, trained in several ways, with one of spaCy's own pipelines.

    task (str): The name of the task in `bloom evaluate`.
    config (Path): BLOOM's config.
    baseline (str): The name of spaCy's pipeline in the table.
    baseline_config (Path): Its config.
    scores (tuple[str, ...]): The scores to show by language.
    options (Mapping[str, Any]): Settings of both configs.
    """

    task: str
    config: Path
    baseline: str
    baseline_config: Path
    scores: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


def compare(comparison: Comparison, description: str | None) -> None:
    """Parse the command line, train missing pipelines, evaluate all of them and print the tables."""
    args = parse_arguments(comparison, description)
    args.work.mkdir(parents=True, exist_ok=True)
    for system in args.systems:
        train(comparison, system, args)
    results = {
        system: evaluate(comparison, args.work / system / "model-last", args) for system in args.systems
    }
    minutes = {system: cpu_minutes(args.work / system) for system in args.systems}
    for score in comparison.scores:
        print_table(results, score)
    print("\nMinutes of one core for training:", ", ".join(f"{name} {x:.1f}" for name, x in minutes.items()))
    if args.json:
        both = {name: {"cpu_minutes": minutes[name], "scores": results[name]} for name in results}
        args.json.write_text(json.dumps(both, indent=2, ensure_ascii=False) + "\n", encoding="utf8")


def parse_arguments(comparison: Comparison, description: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=f"{description or ''}{ABOUT_SYSTEMS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("corpus", type=Path, help="folder with train.spacy, dev.spacy and test.LANG.spacy")
    parser.add_argument("work", type=Path, help="folder for the trained pipelines")
    parser.add_argument(
        "--checkpoint", default="tiny-bloom", help="the pre-trained model (default: tiny-bloom)"
    )
    parser.add_argument("--adapted", help="the same model, adapted to attention to both sides")
    parser.add_argument("--epochs", type=int, default=3, help="passes over the data (default: 3)")
    parser.add_argument("--seed", type=int, default=0, help="of the trainings (default: 0)")
    parser.add_argument(
        "--every", type=int, default=1, metavar="N", help="train on every Nth Doc (default: 1, all)"
    )
    parser.add_argument(
        "--systems",
        nargs="+",
        choices=(*SYSTEMS, comparison.baseline),
        default=("tiny-bloom", "random", comparison.baseline),
        metavar="NAME",
        help=f"which to train: {', '.join(SYSTEMS)}, {comparison.baseline} (default: tiny-bloom random "
        f"{comparison.baseline})",
    )
    parser.add_argument("--json", type=Path, help="file to write the scores to")
    args = parser.parse_args()
    chosen = [SYSTEMS[name].checkpoint for name in args.systems if name in SYSTEMS]
    if args.adapted is None and "adapted" in chosen:
        parser.error("the adapted systems need --adapted")
    return args


def train(comparison: Comparison, system: str, args: argparse.Namespace) -> None:
    config = comparison.baseline_config if system == comparison.baseline else comparison.config
    options = {
        **comparison.options,
        "paths.train": training_docs(args),
        "paths.dev": args.corpus / "dev.spacy",
        "training.max_epochs": args.epochs,
        "system.seed": args.seed,
        # The state after the last epoch is compared, so spaCy only evaluates once, at the start, on a few Docs.
        "training.eval_frequency": 10**9,
        "corpora.dev.limit": 10,
    }
    if system != comparison.baseline:
        total = steps(config, options["paths.train"], args.epochs)
        options["training.max_steps"] = options["training.optimizer.learn_rate.total_steps"] = total
        options.update(SYSTEMS[system].settings)
        options["paths.checkpoint"] = checkpoint(SYSTEMS[system].checkpoint, args)
    train_once(config, args.work / system, options)


def training_docs(args: argparse.Namespace) -> Path:
    """RETURNS (Path): The training Docs, or the part set on the command line, which is written if necessary."""
    whole = args.corpus / "train.spacy"
    if args.every == 1:
        return whole
    part = args.work / f"train-every-{args.every}.spacy"
    if not part.is_file():
        thin_out(whole, args.every, part)
    return part


def checkpoint(kind: str, args: argparse.Namespace) -> str | Path:
    """RETURNS (str | Path): The checkpoint of the command line, or one with random weights, created if necessary."""
    if kind == "random":
        return random_twin(args.checkpoint, args.work)
    return args.adapted if kind == "adapted" else args.checkpoint


def random_twin(checkpoint: str, work: Path) -> Path:
    """RETURNS (Path): A checkpoint with the same geometry and tokenizer, and random weights."""
    path = work / "random-checkpoint"
    config = BloomModel.from_pretrained(checkpoint).config
    torch.manual_seed(0)
    BloomModel(config).save_pretrained(path)
    BloomTokenizerFast.from_pretrained(checkpoint).save_pretrained(path)
    return path


def evaluate(comparison: Comparison, pipeline: Path, args: argparse.Namespace) -> dict:
    """RETURNS (dict): The scores by language, of all Docs ("micro") and averaged over the languages ("macro")."""
    output = pipeline.parent / "scores.json"
    if not output.is_file():
        command = [sys.executable, "-m", "spacy", "bloom", "evaluate", pipeline, args.corpus]
        options = ["--task", comparison.task, "--json", output]
        # Syntax is compared on the words of the treebank.
        tokens = ["--gold-tokens"] if comparison.task == "syntax" else []
        subprocess.run([*command, *options, *tokens], check=True)
    scores = json.loads(output.read_text(encoding="utf8"))["scores"][comparison.task]
    return {**scores["groups"], "micro": scores["micro"], "macro": scores["macro"]}


def print_table(results: dict[str, dict], score: str) -> None:
    rows = list(next(iter(results.values())))
    width = max(map(len, [score, *rows])) + 2
    widths = {system: max(len(system) + 2, 12) for system in results}
    print(f"\n{score:>{width}}" + "".join(f"{system:>{widths[system]}}" for system in results))
    for row in rows:
        cells = (f"{100 * scores[row][score]:{widths[system]}.1f}" for system, scores in results.items())
        print(f"{row:>{width}}" + "".join(cells))
