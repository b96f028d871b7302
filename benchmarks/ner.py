"""Does pre-training pay? Entity F by language of three pipelines trained on the same data for the same epochs:
tiny-bloom, the same architecture with random weights, and spaCy's own CNN, each with its own batching and learning
rate.

    python benchmarks/ner.py CORPUS WORK --json ner.json

CORPUS is a folder written by scripts/convert_ner.py. WORK keeps the trained pipelines; what is there already is not
trained again, so that an interrupted run can be taken up.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import spacy
import torch
from spacy.tokens import DocBin
from spacy.util import load_config

from spacy_bloom import BloomModel, BloomTokenizerFast

ROOT = Path(__file__).parent.parent
BLOOM_CONFIG = ROOT / "configs" / "token_classification.cfg"
CNN_CONFIG = ROOT / "benchmarks" / "ner_cnn.cfg"
SYSTEMS = ("tiny-bloom", "random", "cnn")


def main() -> None:
    args = parse_arguments()
    args.work.mkdir(parents=True, exist_ok=True)
    for system in args.systems:
        train(system, args)
    results = {system: evaluate(args.work / system / "model-last", args) for system in args.systems}
    print_table(results)
    if args.json:
        args.json.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf8")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path, help="folder with train.spacy, dev.spacy and test.LANG.spacy")
    parser.add_argument("work", type=Path, help="folder for the trained pipelines")
    parser.add_argument(
        "--checkpoint", default="tiny-bloom", help="the pre-trained model (default: tiny-bloom)"
    )
    parser.add_argument("--epochs", type=int, default=3, help="passes over the data (default: 3)")
    parser.add_argument(
        "--systems", nargs="+", choices=SYSTEMS, default=SYSTEMS, help="which to train (default: all)"
    )
    parser.add_argument("--json", type=Path, help="write the scores to this file")
    return parser.parse_args()


def train(system: str, args: argparse.Namespace) -> None:
    output = args.work / system
    if (output / "model-last").is_dir():
        return
    config = CNN_CONFIG if system == "cnn" else BLOOM_CONFIG
    options = [f"--training.max_epochs={args.epochs}"]
    if system != "cnn":
        options.append(f"--training.max_steps={steps(args)}")  # the learning rate reaches 0 there
        checkpoint = args.checkpoint if system == "tiny-bloom" else random_twin(args.checkpoint, args.work)
        options.append(f"--paths.checkpoint={checkpoint}")
    data = [f"--paths.train={args.corpus / 'train.spacy'}", f"--paths.dev={args.corpus / 'dev.spacy'}"]
    command = [sys.executable, "-m", "spacy", "train", str(config), "--output", str(output), *data, *options]
    subprocess.run(command, check=True)


def steps(args: argparse.Namespace) -> int:
    """RETURNS (int): Batches of the BLOOM config's size in all epochs, and a few more: the epochs shall end first."""
    words_per_batch = load_config(BLOOM_CONFIG)["training"]["batcher"]["size"]
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


def evaluate(pipeline: Path, args: argparse.Namespace) -> dict:
    """RETURNS (dict): What scripts/evaluate_by_language.py writes."""
    output = pipeline.parent / "by_language.json"
    if not output.is_file():
        script = ROOT / "scripts" / "evaluate_by_language.py"
        subprocess.run([sys.executable, script, pipeline, args.corpus, "--json", output], check=True)
    return json.loads(output.read_text(encoding="utf8"))


def print_table(results: dict[str, dict]) -> None:
    print(f"\n{'F':>10}" + "".join(f"{system:>12}" for system in results))
    for row in next(iter(results.values())):
        print(f"{row:>10}" + "".join(f"{100 * scores[row]['f_score']:12.1f}" for scores in results.values()))


if __name__ == "__main__":
    main()
