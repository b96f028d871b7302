"""How well do checkpoints predict held-back lines, compared with models without weights? In bits per byte, by language.

    python benchmarks/bits_per_byte.py TEXTS --checkpoints tiny-bloom OTHER --json bits.json

TEXTS is a folder of LANG.txt files with one sentence or paragraph per line. Every 50th line is held back, as in
`train-lm`. The models without weights use the remaining lines:

- "5-gram, own" and "5-gram, all" predict a byte from the four before it, by counts in the language's file or in all
  files, with Witten-Bell interpolation (Witten and Bell 1991): the probability of unseen bytes is that of the context
  that is one byte shorter.
- "xz" is the number of bytes that `xz -9` adds to the language's file if the held-back lines are appended.
"""

import argparse
import json
import lzma
from collections.abc import Iterable
from pathlib import Path

import numpy
from tqdm import tqdm

from spacy_bloom import BloomForCausalLM, BloomTokenizerFast
from spacy_bloom.pretraining.data import DataConfig, TextFile, encode_file, read_text_file
from spacy_bloom.pretraining.evaluation import evaluate

ORDER = 5  # bytes of an n-gram
Bits = dict[str, float]  # of all held-back lines, by language


def main() -> None:
    args = parse_arguments()
    data = DataConfig(max_length=256, batch_pieces=3072, max_eval_lines=args.max_lines)
    files = [read_text_file(path, path.stem, data) for path in sorted(args.texts.glob("*.txt"))]
    files = [file for file in files if file.held_back]
    if not files:
        raise SystemExit(f"{args.texts} holds no .txt file of {data.held_back_every} lines or more.")
    sizes = {file.name: len(_joined(file.held_back)) - len(file.held_back) for file in files}
    results = {name: checkpoint_bits(name, files, sizes, data) for name in args.checkpoints}
    everything = NGrams(_joined(line for file in files for line in file.train))
    results["5-gram, own"] = {
        f.name: NGrams(_joined(f.train)).bits(f.held_back) for f in tqdm(files, "5-gram")
    }
    results["5-gram, all"] = {file.name: everything.bits(file.held_back) for file in files}
    results["xz"] = {file.name: xz_bits(file) for file in tqdm(files, "xz")}
    rates = {name: per_byte(bits, sizes) for name, bits in results.items()}
    print_table(rates)
    if args.json:
        args.json.write_text(json.dumps(rates, indent=2) + "\n", encoding="utf8")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("texts", type=Path, help="folder with LANG.txt files")
    parser.add_argument(
        "--checkpoints", nargs="+", default=["tiny-bloom"], help="names or directories (default: tiny-bloom)"
    )
    parser.add_argument(
        "--max-lines",
        type=int,
        default=200,
        help="maximum number of held-back lines per language (default: 200)",
    )
    parser.add_argument("--json", type=Path, help="file to write the results to")
    return parser.parse_args()


def checkpoint_bits(
    name: str,
    files: list[TextFile],
    sizes: dict[str, int],
    data: DataConfig,
    quantization: str | None = None,
) -> Bits:
    """RETURNS (Bits): The negative log2 probability of each line, given a preceding newline."""
    model = BloomForCausalLM.from_pretrained(name, dtype="float32", quantization=quantization)
    tokenizer = BloomTokenizerFast.from_pretrained(name)
    bits = {}
    for file in tqdm(files, name):
        held_back = encode_file(TextFile(file.name, [], file.held_back), tokenizer, data)
        result = evaluate(model, [held_back], data)
        assert result is not None  # every file has held-back lines
        bits[file.name] = result.bpb * sizes[file.name]
    return bits


class NGrams:
    """Counts of the 1- to ORDER-grams of bytes.

    text (bytes): The lines, including newlines.
    """

    def __init__(self, text: bytes) -> None:
        self.grams = [numpy.unique(keys, return_counts=True) for keys in _keys(text)]
        # For each context, how often it occurs and how many different bytes follow it.
        self.contexts = [_sums(keys >> numpy.uint64(8), counts) for keys, counts in self.grams]

    def bits(self, lines: list[str]) -> float:
        """RETURNS (float): The negative log2 probability of the lines, given a newline before each."""
        total = 0.0
        for line in lines:
            text = b"\n" + line.encode("utf8")
            total -= float(numpy.log2(self._probabilities(text)[1:]).sum())
        return total

    def _probabilities(self, text: bytes) -> numpy.ndarray:
        """RETURNS (ndarray): The probability of each byte given the preceding ones. Shape (bytes,)."""
        probability = numpy.full(len(text), 1 / 256)
        for length, keys in enumerate(_keys(text)):
            (grams, counts), (contexts, seen, kinds) = self.grams[length], self.contexts[length]
            count = _look_up(grams, counts, keys)
            before = keys >> numpy.uint64(8)
            known, new = _look_up(contexts, seen, before), _look_up(contexts, kinds, before)
            # An unseen context has counts of 0, so that only the shorter one matters.
            shorter = probability[length:]
            weight = numpy.where(known > 0, known + new, 1)
            probability[length:] = numpy.where(known > 0, (count + new * shorter) / weight, shorter)
        return probability


def _keys(text: bytes) -> Iterable[numpy.ndarray]:
    """YIELDS (ndarray): For each length, every n-gram as a number; it ends where the next one of its length ends one
    byte later. Shape (bytes - length + 1,), uint64.
    """
    values = numpy.frombuffer(text, dtype=numpy.uint8).astype(numpy.uint64)
    keys = values
    yield keys
    for length in range(1, ORDER):
        keys = (keys[:-1] << numpy.uint64(8)) | values[length:]
        yield keys


def _sums(
    contexts: numpy.ndarray, counts: numpy.ndarray
) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    """RETURNS (tuple): The distinct contexts of sorted n-grams, their total counts, and their number of n-grams."""
    unique, first, kinds = numpy.unique(contexts, return_index=True, return_counts=True)
    return unique, numpy.add.reduceat(counts, first), kinds


def _look_up(known: numpy.ndarray, values: numpy.ndarray, keys: numpy.ndarray) -> numpy.ndarray:
    """RETURNS (ndarray): The value of each key, or 0 for unknown keys."""
    places = numpy.searchsorted(known, keys).clip(max=len(known) - 1)
    return numpy.where(known[places] == keys, values[places], 0)


def xz_bits(file: TextFile) -> float:
    train, held_back = _joined(file.train), _joined(file.held_back)
    return 8.0 * (len(lzma.compress(train + held_back, preset=9)) - len(lzma.compress(train, preset=9)))


def _joined(lines: Iterable[str]) -> bytes:
    return "".join(line + "\n" for line in lines).encode("utf8")


def per_byte(bits: Bits, sizes: dict[str, int]) -> dict[str, float]:
    """RETURNS (dict[str, float]): The values by language, for all lines, and averaged over the languages."""
    rates = {name: bits[name] / sizes[name] for name in bits}
    return {
        **rates,
        "all": sum(bits.values()) / sum(sizes.values()),
        "mean": sum(rates.values()) / len(rates),
    }


def print_table(rates: dict[str, dict[str, float]]) -> None:
    widths = [max(len(name), 6) + 2 for name in rates]
    print(" " * 10 + "".join(f"{name:>{width}}" for name, width in zip(rates, widths, strict=True)))
    for row in next(iter(rates.values())):
        cells = (f"{rate[row]:{width}.3f}" for rate, width in zip(rates.values(), widths, strict=True))
        print(f"{row:>10}" + "".join(cells))


if __name__ == "__main__":
    main()
