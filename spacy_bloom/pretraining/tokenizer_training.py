"""Trains a byte-level BPE tokenizer like BLOOM's on files of very different sizes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from ..errors import ConfigError
from ..tokenizer.special_tokens import SPECIAL_TOKENS

# SOURCE: tokenizer.json of the BLOOM checkpoints.
WORDS = " ?[^(\\s|[.,!?…。，、।۔،])]+"

MIN_VOCABULARY = 256 + len(SPECIAL_TOKENS)  # one piece per byte


@dataclass(frozen=True)
class TokenizerConfig:
    """Section [tokenizer] of a training config.

    vocab_size (int): Number of pieces, including special tokens and the 256 bytes.
    min_frequency (int): Minimum number of times a pair must occur to become a piece.
    alpha (float): A file's share of the training text is proportional to bytes ** alpha: 1 takes the files as
        they are, 0 gives all files the same share.
    RAISES (ConfigError): A value is out of range.
    """

    vocab_size: int
    min_frequency: int = 2
    alpha: float = 0.5

    def __post_init__(self) -> None:
        if self.vocab_size < MIN_VOCABULARY:
            raise ConfigError(f"tokenizer.vocab_size {self.vocab_size} is less than {MIN_VOCABULARY}.")
        if self.min_frequency < 0:
            raise ConfigError(f"tokenizer.min_frequency is {self.min_frequency}; it must not be negative.")
        if not 0 <= self.alpha <= 1:
            raise ConfigError(f"tokenizer.alpha is {self.alpha}; it must be between 0 and 1.")


def new_tokenizer() -> Tokenizer:
    """RETURNS (Tokenizer): BLOOM's pre-tokenizer, post-processor and decoder around an empty vocabulary."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=False),
        ]
    )
    tokenizer.post_processor = processors.ByteLevel(
        add_prefix_space=True, trim_offsets=False, use_regex=False
    )
    tokenizer.decoder = decoders.ByteLevel()  # decoding knows no options, though BLOOM's file writes some
    return tokenizer


def train_tokenizer(files: Sequence[Sequence[str]], config: TokenizerConfig, *, seed: int) -> Tokenizer:
    """Train a tokenizer. The same files, config and seed give the same vocabulary.

    files (Sequence[Sequence[str]]): The lines of each file.
    config (TokenizerConfig): Size of the vocabulary and shares of the files.
    seed (int): Decides which lines are repeated or left out.
    RETURNS (Tokenizer): At most `config.vocab_size` pieces; fewer if the text has no more pairs.
    """
    tokenizer = new_tokenizer()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocab_size,
        min_frequency=config.min_frequency,
        special_tokens=[
            AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS.values()
        ],
        # Sorted, because the alphabet comes as a set; it is complete, so that nothing is ever unknown.
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_sample_all(files, config.alpha, seed), trainer=trainer)
    return tokenizer


def sampling_rates(n_bytes: Iterable[int], alpha: float) -> np.ndarray:
    """How often to repeat each file, so that its share of the text is proportional to bytes ** alpha.

    n_bytes (Iterable[int]): Size of each file; its length is the number of files.
    alpha (float): 1 gives every file the rate 1.
    RETURNS (ndarray): Rates that keep the total size: (rates * n_bytes).sum() is n_bytes.sum(). Shape (files,).
    """
    sizes = np.asarray(list(n_bytes), dtype=np.float64)
    shares = sizes**alpha / (sizes**alpha).sum()
    return shares * sizes.sum() / sizes


def _sample_all(files: Sequence[Sequence[str]], alpha: float, seed: int) -> Iterator[str]:
    n_bytes = [sum(len(line.encode("utf8")) for line in lines) for lines in files]
    rates = sampling_rates(n_bytes, alpha)
    for index, (lines, rate) in enumerate(zip(files, rates, strict=True)):
        yield from _sample(lines, rate, np.random.default_rng([seed, index]))


def _sample(lines: Sequence[str], rate: float, rng: np.random.Generator) -> Iterator[str]:
    """Each line floor(rate) times, and once more with the probability of what is left."""
    whole = int(rate)
    again = rng.random(len(lines)) < rate - whole
    for line, extra in zip(lines, again, strict=True):
        for _ in range(whole + int(extra)):
            yield line
