"""How do weights of 8 and 16 bits affect what a language model predicts, generates, scores and chooses?

    python benchmarks/quantization_loss.py TEXTS --checkpoint tiny-bloom

TEXTS is a folder of LANG.txt files with one sentence or paragraph per line; every 50th line is read.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy
import spacy
from bits_per_byte import _joined, checkpoint_bits, per_byte
from measuring import report
from spacy.language import Language

from spacy_bloom.pretraining.data import DataConfig, TextFile, read_text_file

METHODS = (None, "float16", "int8")
LABELS = ("sports", "politics", "science", "travel", "health", "entertainment", "geography")
START = 0.4  # the start of a line, which the model continues


def pipeline(component: str, args: argparse.Namespace, method: str | None, **config: Any) -> Language:
    """RETURNS (Language): A pipeline with a tokenizer and a component that generates or scores."""
    nlp = spacy.blank("xx")
    model = {
        "@architectures": "spacy-bloom.LanguageModel.v2",
        "name": args.checkpoint,
        "quantization": method,
    }
    nlp.add_pipe(component, config={"model": model, **config})
    return nlp


def written(args: argparse.Namespace, method: str | None, texts: list[str]) -> list[str]:
    """RETURNS (list[str]): The continuation of the start of each text."""
    starts = [text[: int(len(text) * START)] for text in texts]
    config = {"prompt": "{{ doc.text }}", "max_new_tokens": args.new}
    nlp = pipeline("bloom_text_generator", args, method, **config)
    return [doc._.generated for doc in nlp.pipe(starts)]


def surprisals(args: argparse.Namespace, method: str | None, texts: list[str]) -> numpy.ndarray:
    """RETURNS (ndarray): The surprisal of each token except the first, in bits. Shape (tokens,)."""
    docs = pipeline("bloom_surprisal", args, method).pipe(texts)
    bits = numpy.array([token._.surprisal for doc in docs for token in doc], dtype=float)
    return bits[~numpy.isnan(bits)]


def choices(args: argparse.Namespace, method: str | None, texts: list[str]) -> list[str]:
    """RETURNS (list[str]): The most likely label of each text."""
    nlp = pipeline("bloom_zero_shot", args, method, labels=list(LABELS))
    return [max(doc.cats, key=doc.cats.get) for doc in nlp.pipe(texts)]


def measure(
    args: argparse.Namespace, method: str | None, files: list[TextFile], data: DataConfig
) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): The results for one kind of weights."""
    sizes = {file.name: len(_joined(file.held_back)) - len(file.held_back) for file in files}
    texts = [line for file in files for line in file.held_back[: args.texts_of_a_language]]
    return {
        "bits": per_byte(checkpoint_bits(args.checkpoint, files, sizes, data, method), sizes),
        "written": written(args, method, texts),
        "surprisal": surprisals(args, method, texts),
        "choices": choices(args, method, texts),
    }


def row_of(method: str | None, found: dict[str, Any], exact: dict[str, Any]) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): A row of the table, with the differences from float32."""
    n = len(exact["written"])
    same = sum(a == b for a, b in zip(found["written"], exact["written"], strict=True))
    agree = sum(a == b for a, b in zip(found["choices"], exact["choices"], strict=True))
    differences = numpy.abs(found["surprisal"] - exact["surprisal"])
    rates = found["bits"], exact["bits"]
    worst = max(rates[0][name] / rates[1][name] - 1.0 for name in rates[1])
    return {
        "weights": method or "float32",
        "bits per byte": round(rates[0]["all"], 4),
        "more, %": round(100 * (rates[0]["all"] / rates[1]["all"] - 1), 3),
        "worst language, %": round(100 * worst, 3),
        "texts written alike": f"{same} of {n}",
        "bits of a token differ by": float(differences.mean()),
        "labels alike": f"{agree} of {n}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("texts", type=Path, help="folder with LANG.txt files")
    parser.add_argument("--checkpoint", default="tiny-bloom", help="name or directory (default: tiny-bloom)")
    parser.add_argument(
        "--max-lines", type=int, default=40, help="lines per language to measure bits on (default: 40)"
    )
    parser.add_argument(
        "--texts-of-a-language",
        type=int,
        default=4,
        help="lines per language to continue and score (default: 4)",
    )
    parser.add_argument("--new", type=int, default=20, help="pieces to generate for each (default: 20)")
    parser.add_argument("--json", type=Path, help="file to write the results to")
    args = parser.parse_args()
    data = DataConfig(max_length=256, batch_pieces=3072, max_eval_lines=args.max_lines)
    files = [read_text_file(path, path.stem, data) for path in sorted(args.texts.glob("*.txt"))]
    files = [file for file in files if file.held_back]
    results = {method: measure(args, method, files, data) for method in METHODS}
    rows = [row_of(method, found, results[None]) for method, found in results.items()]
    report(f"{args.checkpoint}, {len(files)} languages", rows, {}, None)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
