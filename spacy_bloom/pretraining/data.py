"""Text files as training data for a causal language model: lines, pieces, sequences, batches."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import ConfigError, InputError
from ..tokenizer import BloomTokenizerFast
from .tokenizer_training import sampling_rates

CHUNK_LINES = 1024  # encoded in one call, so that Python lists of ids stay small


@dataclass(frozen=True)
class DataConfig:
    """Section [data] of a training config.

    max_length (int): Maximum number of pieces in a training sequence.
    batch_pieces (int): Maximum number of pieces in a batch.
    alpha (float): A file's share of an epoch is proportional to bytes ** alpha: 1 takes every sequence once,
        0 gives all files the same share.
    held_back_every (int): Hold back every n-th line for evaluation; 0 holds none back.
    max_eval_lines (int): Maximum number of lines per file to evaluate, taken evenly from those held back.
    RAISES (ConfigError): A value is out of range.
    """

    max_length: int
    batch_pieces: int
    alpha: float = 0.5
    held_back_every: int = 50
    max_eval_lines: int = 200

    def __post_init__(self) -> None:
        if self.max_length < 1:
            raise ConfigError(f"data.max_length is {self.max_length}; it must be at least 1.")
        if self.batch_pieces < self.max_length:
            raise ConfigError(f"data.batch_pieces {self.batch_pieces} is less than data.max_length.")
        if not 0 <= self.alpha <= 1:
            raise ConfigError(f"data.alpha is {self.alpha}; it must be between 0 and 1.")
        if self.held_back_every < 0 or self.held_back_every == 1:
            raise ConfigError("data.held_back_every must be 0 (hold nothing back) or at least 2.")
        if self.max_eval_lines < 1:
            raise ConfigError(f"data.max_eval_lines is {self.max_eval_lines}; it must be at least 1.")


@dataclass(frozen=True)
class TextFile:
    """name (str): Name of the file in reports.
    train (list[str]): Lines to learn from.
    held_back (list[str]): Lines to evaluate on.
    """

    name: str
    train: list[str]
    held_back: list[str]


@dataclass(frozen=True)
class EncodedFile:
    """name (str): Name of the file in reports.
    n_bytes (int): UTF-8 bytes of the training lines.
    pieces (ndarray): `</s>`, then each training line followed by `</s>`. Shape (pieces + 1,), int32.
    bounds (ndarray): Sequence i reads `pieces[bounds[i]:bounds[i + 1]]` and predicts the same shifted by one,
        so that every piece but the first is predicted exactly once. Shape (sequences + 1,), int64.
    held_back (list[ndarray]): The pieces of each line to evaluate on, `</s>` before them. Each of shape
        (pieces + 1,), int32.
    held_back_bytes (int): UTF-8 bytes of these lines.
    """

    name: str
    n_bytes: int
    pieces: np.ndarray
    bounds: np.ndarray
    held_back: list[np.ndarray]
    held_back_bytes: int


@dataclass(frozen=True)
class Batch:
    """input_ids (Tensor): The sequences, concatenated. Shape (pieces,), int64.
    labels (Tensor): The piece that follows each one. Shape (pieces,), int64.
    lengths (list[int]): Pieces of each sequence.
    """

    input_ids: Tensor
    labels: Tensor
    lengths: list[int]

    def to(self, device: torch.device) -> "Batch":
        """RETURNS (Batch): The same on a device."""
        return Batch(self.input_ids.to(device), self.labels.to(device), self.lengths)


def stream_lines(path: Path) -> Iterator[str]:
    """path (Path): A UTF-8 file with one sentence or paragraph on each line.
    YIELDS (str): The lines that are not blank, without their ends; one is in memory at a time.
    RAISES (InputError): The file is not UTF-8, or has no text.
    """
    empty = True
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            try:
                line = raw.decode("utf8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                place = f"{path}, line {number}, byte {error.start + 1}"
                raise InputError(f"{place}: not UTF-8 ({error.reason}). Convert the file.") from error
            if number == 1:
                line = line.removeprefix("\ufeff")
            if line.strip():
                empty = False
                yield line
    if empty:
        raise InputError(f"{path} has no text. Remove it, or put one sentence or paragraph on each line.")


def read_lines(path: Path) -> list[str]:
    """RETURNS (list[str]): All lines that `stream_lines` yields.
    RAISES (InputError): As for `stream_lines`.
    """
    return list(stream_lines(path))


def read_text_file(path: Path, name: str, config: DataConfig) -> TextFile:
    """path (Path): A UTF-8 file with one sentence or paragraph on each line.
    name (str): Name of the file in reports.
    config (DataConfig): Decides which lines are held back.
    RETURNS (TextFile): The lines to train on and those held back.
    RAISES (InputError): The file is not UTF-8, or has no text.
    """
    lines, every = read_lines(path), config.held_back_every
    if not every:
        return TextFile(name, lines, [])
    train = [line for number, line in enumerate(lines, start=1) if number % every]
    held_back = lines[every - 1 :: every]
    stride = max(math.ceil(len(held_back) / config.max_eval_lines), 1)
    return TextFile(name, train, held_back[::stride])


def encode_file(file: TextFile, tokenizer: BloomTokenizerFast, config: DataConfig) -> EncodedFile:
    """file (TextFile): The lines.
    tokenizer (BloomTokenizerFast): Encodes text that looks like a special token as text.
    config (DataConfig): Limits the length of a sequence.
    RETURNS (EncodedFile): All pieces; nothing is dropped.
    """
    end = np.array([tokenizer.eos_token_id], dtype=np.int32)
    lines = [np.concatenate((line, end)) for line in _encode(file.train, tokenizer)]
    return EncodedFile(
        name=file.name,
        n_bytes=_n_bytes(file.train),
        pieces=np.concatenate([end, *lines]),
        bounds=sequence_bounds([len(line) for line in lines], config.max_length),
        held_back=[np.concatenate((end, line)) for line in _encode(file.held_back, tokenizer)],
        held_back_bytes=_n_bytes(file.held_back),
    )


def sequence_bounds(line_lengths: Iterable[int], max_length: int) -> np.ndarray:
    """Put as many consecutive lines into a sequence as fit; a longer line continues in the next sequence.

    line_lengths (Iterable[int]): Pieces of each line.
    max_length (int): Maximum number of pieces in a sequence.
    RETURNS (ndarray): Where each sequence begins, and where the last one ends. Shape (sequences + 1,), int64.
    """
    bounds, position = [0], 0
    for length in line_lengths:
        if position + length - bounds[-1] > max_length and position > bounds[-1]:
            bounds.append(position)
        position += length
        while position - bounds[-1] > max_length:
            bounds.append(bounds[-1] + max_length)
    if position > bounds[-1]:
        bounds.append(position)
    return np.array(bounds, dtype=np.int64)


class Batches:
    """An endless stream of batches. A position in it is a pair (epoch, place in the epoch).

    An epoch has as many sequences as the files, in an order that depends only on the seed and the epoch. It takes
    `rate` times the sequences of a file: a small file is repeated, a big one is spread over several epochs.
    """

    def __init__(self, files: Sequence[EncodedFile], config: DataConfig, *, seed: int) -> None:
        """files (Sequence[EncodedFile]): The training data.
        config (DataConfig): Shares of the files and size of a batch.
        seed (int): Decides the order of the sequences.
        """
        self.files = files
        self.config = config
        self.seed = seed
        self.rates = sampling_rates([file.n_bytes for file in files], config.alpha)
        self._epoch, self._order = -1, np.zeros((0, 2), dtype=np.int64)

    def take(self, epoch: int, place: int) -> tuple[Batch, int, int]:
        """epoch (int): Epoch of the batch's first sequence.
        place (int): Place of this sequence in the epoch.
        RETURNS (tuple[Batch, int, int]): The batch, and the epoch and place at which the next one starts.
        """
        taken: list[np.ndarray] = []
        n_pieces = 0
        while True:
            order = self.order(epoch)
            while place < len(order):
                pieces = self._sequence(*order[place])
                n_pieces += len(pieces) - 1
                if n_pieces > self.config.batch_pieces:
                    return _batch(taken), epoch, place
                taken.append(pieces)
                place += 1
            epoch, place = epoch + 1, 0

    def order(self, epoch: int) -> np.ndarray:
        """RETURNS (ndarray): File, and number in the file, of each sequence. Shape (sequences, 2)."""
        if epoch != self._epoch:
            rows = np.concatenate([self._turns(index, epoch) for index in range(len(self.files))])
            self._epoch, self._order = epoch, np.random.default_rng([self.seed, 0, epoch]).permutation(rows)
        return self._order

    def _turns(self, index: int, epoch: int) -> np.ndarray:
        """RETURNS (ndarray): The epoch's part of a file's endless stream of shuffled passes. Shape (n, 2)."""
        size = len(self.files[index].bounds) - 1
        first, last = (int(turn * self.rates[index] * size + 1e-6) for turn in (epoch, epoch + 1))
        if first == last:
            return np.zeros((0, 2), dtype=np.int64)
        passes = range(first // size, (last - 1) // size + 1)
        shuffled = [np.random.default_rng([self.seed, 1, index, turn]).permutation(size) for turn in passes]
        offset = passes[0] * size
        numbers = np.concatenate(shuffled)[first - offset : last - offset]
        return np.stack((np.full_like(numbers, index), numbers), axis=1)

    def _sequence(self, index: int, number: int) -> np.ndarray:
        file = self.files[index]
        return file.pieces[file.bounds[number] : file.bounds[number + 1] + 1]


def held_back_batches(file: EncodedFile, config: DataConfig) -> Iterator[Batch]:
    """file (EncodedFile): Its lines that are held back, each one a sequence of its own.
    config (DataConfig): A line longer than max_length continues in the next sequence, as in training.
    YIELDS (Batch): Batches that predict every piece of every line exactly once.
    """
    length, n_pieces = config.max_length, 0
    taken: list[np.ndarray] = []
    for line in file.held_back:
        for start in range(0, len(line) - 1, length):
            pieces = line[start : start + length + 1]
            if n_pieces + len(pieces) - 1 > config.batch_pieces:
                yield _batch(taken)
                taken, n_pieces = [], 0
            taken.append(pieces)
            n_pieces += len(pieces) - 1
    if taken:
        yield _batch(taken)


def _batch(sequences: list[np.ndarray]) -> Batch:
    """sequences (list[ndarray]): The pieces that each one reads, and the one that its last place predicts."""
    input_ids = np.concatenate([pieces[:-1] for pieces in sequences])
    labels = np.concatenate([pieces[1:] for pieces in sequences])
    lengths = [len(pieces) - 1 for pieces in sequences]
    return Batch(torch.from_numpy(input_ids).long(), torch.from_numpy(labels).long(), lengths)


def _encode(lines: list[str], tokenizer: BloomTokenizerFast) -> Iterator[np.ndarray]:
    for start in range(0, len(lines), CHUNK_LINES):
        encoded = tokenizer(lines[start : start + CHUNK_LINES], split_special_tokens=True)
        yield from (np.array(ids, dtype=np.int32) for ids in encoded["input_ids"])


def _n_bytes(lines: list[str]) -> int:
    return sum(len(line.encode("utf8")) for line in lines)
