"""How many pieces do texts in each language take, with different vocabulary sizes and shares of the languages?

    python benchmarks/vocabulary.py TEXTS --sizes 8192 12288 16384 --alphas 0.3 0.5 --json vocabulary.json

TEXTS is a folder of LANG.txt files with one sentence or paragraph per line. Every 50th line is held back, as in
`train-lm`, and measured: characters per piece, because a character takes one to three bytes depending on the script,
and the share of characters that are split into several pieces.
"""

import argparse
import json
from pathlib import Path

import numpy
from tqdm import tqdm

from spacy_bloom import BloomTokenizerFast
from spacy_bloom.pretraining.data import DataConfig, TextFile, read_text_file
from spacy_bloom.pretraining.tokenizer_training import TokenizerConfig, train_tokenizer

DATA = DataConfig(max_length=256, batch_pieces=256, max_eval_lines=200)


def main() -> None:
    args = parse_arguments()
    files = [read_text_file(path, path.stem, DATA) for path in sorted(args.texts.glob("*.txt"))]
    if not files:
        raise SystemExit(f"{args.texts} holds no .txt files.")
    grid = [(size, alpha) for size in args.sizes for alpha in args.alphas]
    results = {}
    for size, alpha in tqdm(grid, desc="vocabularies"):
        config = TokenizerConfig(vocab_size=size, alpha=alpha)
        trained = train_tokenizer([file.train for file in files], config, seed=args.seed)
        tokenizer = BloomTokenizerFast(tokenizer_object=trained)
        results[f"{size} {alpha}"] = {file.name: measure(file, tokenizer) for file in files}
    print_table(results, args.worst)
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf8")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("texts", type=Path, help="folder with LANG.txt files")
    parser.add_argument("--sizes", type=int, nargs="+", default=[8192, 12288, 16384], help="vocabulary sizes")
    parser.add_argument(
        "--alphas",
        type=float,
        nargs="+",
        default=[0.3, 0.5, 0.7],
        help="alphas; the share of a file is bytes ** alpha",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed for sampling lines (default: 0)")
    parser.add_argument(
        "--worst", type=int, default=4, help="number of best and worst languages to show (default: 4)"
    )
    parser.add_argument("--json", type=Path, help="file to write the results to")
    return parser.parse_args()


def measure(file: TextFile, tokenizer: BloomTokenizerFast) -> dict[str, float]:
    """RETURNS (dict[str, float]): Characters and bytes per piece, and the share of characters that are split, in the
    held-back lines.
    """
    lines = file.held_back
    encodings = tokenizer.encode_plain(lines)
    pieces = sum(len(encoding.ids) for encoding in encodings)
    characters = sum(map(len, lines))
    # A split character is in the offsets of two or more pieces.
    counts = [
        numpy.bincount([i for start, end in encoding.offsets for i in range(start, end)], minlength=1)
        for encoding in encodings
    ]
    cut = sum(int((count > 1).sum()) for count in counts)
    return {
        "characters per piece": characters / pieces,
        "bytes per piece": sum(len(line.encode("utf8")) for line in lines) / pieces,
        "cut": cut / characters,
    }


def print_table(results: dict[str, dict[str, dict[str, float]]], worst: int) -> None:
    for name, by_language in results.items():
        values = {lang: row["characters per piece"] for lang, row in by_language.items()}
        order = sorted(values, key=lambda lang: values[lang])
        n_bytes = numpy.mean([row["bytes per piece"] for row in by_language.values()])
        print(
            f"\n{name}: {numpy.mean(list(values.values())):.2f} characters, {n_bytes:.2f} bytes per piece on average"
        )
        print("  fewest: " + ", ".join(f"{lang} {values[lang]:.2f}" for lang in order[:worst]))
        print("  most:   " + ", ".join(f"{lang} {values[lang]:.2f}" for lang in order[-worst:]))
        cut = sorted(by_language, key=lambda lang: -by_language[lang]["cut"])[:worst]
        print("  cut:    " + ", ".join(f"{lang} {by_language[lang]['cut']:.1%}" for lang in cut))


if __name__ == "__main__":
    main()
