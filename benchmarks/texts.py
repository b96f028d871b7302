"""Texts for the benchmarks: made-up words or lines of files, with realistic lengths."""

import math
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from spacy_bloom import BloomTokenizerFast
from spacy_bloom.pretraining.tokenizer_training import TokenizerConfig, train_tokenizer

CONSONANTS = ("b", "br", "d", "f", "g", "k", "kl", "l", "m", "n", "p", "pr", "r", "s", "st", "t", "v", "z")
VOWELS = ("a", "e", "i", "o", "u", "ai")
WORD_TYPES = 20_000
LINE_WORDS = 12


def new_tokenizer(lines: Sequence[str], vocab_size: int) -> BloomTokenizerFast:
    """RETURNS (BloomTokenizerFast): A tokenizer trained on the lines. Has fewer pieces if they have too few pairs."""
    return BloomTokenizerFast(train_tokenizer([lines], TokenizerConfig(vocab_size), seed=0))


def pseudo_lines(n_lines: int, *, seed: int = 0) -> list[str]:
    """RETURNS (list[str]): Lines of words made of syllables, with the word frequencies of a language (Zipf's law)."""
    rng = np.random.default_rng(seed)
    syllables = [c + v for c in CONSONANTS for v in VOWELS]
    words = ["".join(rng.choice(syllables, size=n)) for n in rng.integers(1, 5, size=WORD_TYPES)]
    shares = 1.0 / np.arange(10, WORD_TYPES + 10)
    picked = rng.choice(WORD_TYPES, size=(n_lines, LINE_WORDS), p=shares / shares.sum())
    return [" ".join(words[i] for i in row) + "." for row in picked]


def text_lines(directory: Path, n_lines: int, *, seed: int = 0) -> list[str]:
    """RETURNS (list[str]): Lines sampled from the .txt files of a directory, the same number from each file."""
    rng = np.random.default_rng(seed)
    lines: list[str] = []
    files = sorted(directory.glob("*.txt"))
    for file in files:
        found = [line for line in file.read_text(encoding="utf8").splitlines() if line.strip()]
        lines += [found[i] for i in rng.integers(len(found), size=math.ceil(n_lines / len(files)))]
    if not lines:
        raise SystemExit(f"No lines in .txt files under {directory}.")
    return [lines[i] for i in rng.permutation(len(lines))]


def documents(
    lines: Sequence[str],
    tokenizer: BloomTokenizerFast,
    n_docs: int,
    *,
    median: int,
    sigma: float,
    longest: int,
    seed: int = 0,
) -> Iterator[str]:
    """Join and cut lines to texts whose lengths in pieces are log-normal.

    median (int): The median length in pieces.
    sigma (float): The standard deviation of the log length. With 0.7, two thirds of the texts have between half and
        twice the median length, with 1.0 between a third and three times.
    longest (int): The maximum length. The minimum is 4 pieces.
    YIELDS (str): The texts.
    """
    rng = np.random.default_rng(seed)
    lengths = np.clip(rng.lognormal(math.log(median), sigma, size=n_docs), 4, longest).astype(int)
    place = 0
    for length in lengths:
        text, ends = "", []
        while len(ends) < length:
            text = f"{text} {lines[place % len(lines)]}".strip()
            place += 1
            ends = [end for _, end in tokenizer.encode_batch([text], parallel=False)[0].offsets]
        yield text[: ends[length - 1]].strip()


def add_text_options(
    parser: ArgumentParser, *, hidden_size: int, n_layer: int, n_head: int, vocab_size: int = 8000
) -> None:
    """Add the options for `make_texts` and the geometry of a checkpoint, with these defaults."""
    parser.add_argument("--median", type=int, default=40, help="median length of a Doc, in pieces")
    parser.add_argument("--sigma", type=float, default=0.7, help="standard deviation of the log length")
    parser.add_argument("--longest", type=int, default=300, help="maximum length of a Doc, in pieces")
    parser.add_argument("--hidden-size", type=int, default=hidden_size, help="geometry")
    parser.add_argument("--n-layer", type=int, default=n_layer, help="geometry")
    parser.add_argument("--n-head", type=int, default=n_head, help="geometry")
    parser.add_argument("--vocab-size", type=int, default=vocab_size, help="geometry: rows in the embedding")


def make_texts(
    lines: Sequence[str], tokenizer: BloomTokenizerFast, options: Namespace
) -> tuple[list[str], int]:
    """RETURNS (tuple[list[str], int]): Texts with the lengths set by the options, and their total number of pieces."""
    lengths = {name: getattr(options, name) for name in ("median", "sigma", "longest")}
    texts = list(documents(lines, tokenizer, options.docs, **lengths))
    return texts, sum(len(e.ids) for e in tokenizer.encode_batch(texts))
