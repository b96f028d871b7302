"""Bits per byte of held-back lines, by which models with different tokenizers can be compared."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..bloom.heads import BloomLanguageModel
from ..bloom.losses import IGNORED_LABEL
from .data import Batch, DataConfig, EncodedFile, held_back_batches
from .masking import Masking


@dataclass(frozen=True)
class Evaluation:
    """bpb (float): Bits per byte of all held-back lines together.
    bpb_by_file (dict[str, float]): Bits per byte of each file.
    is_best (bool): Whether it is the best evaluation of the run so far.
    """

    bpb: float
    bpb_by_file: dict[str, float]
    is_best: bool = False


class CountBits(Protocol):
    """How the bits of batches are computed."""

    def __call__(self, batches: Iterable[Batch], *, bidirectional_layers: int) -> float:
        """RETURNS (float): Negative log2 probability of all labels of all batches."""


def evaluate(
    model: BloomLanguageModel, files: Sequence[EncodedFile], data: DataConfig, masking: Masking | None = None
) -> Evaluation | None:
    """Bits per byte of the held-back lines.

    The negative log2 probability of each line's pieces (not of the `</s>` after them), given only the `</s>` before
    them, divided by the UTF-8 bytes of the lines. With a masking, each piece is predicted from all of its line except
    the pieces that are masked with it.

    model (BloomLanguageModel): Left in evaluation mode.
    files (Sequence[EncodedFile]): Files without held-back lines are skipped.
    data (DataConfig): Size of a batch.
    masking (Masking | None): None for a causal model.
    RETURNS (Evaluation | None): None if no lines are held back.
    """

    def count(batches: Iterable[Batch], *, bidirectional_layers: int) -> float:
        return sum(bits_of(model, batch, bidirectional_layers) for batch in batches)

    model.eval()
    return evaluate_by(count, files, data, masking)


def evaluate_by(
    count: CountBits, files: Sequence[EncodedFile], data: DataConfig, masking: Masking | None = None
) -> Evaluation | None:
    """As `evaluate`, with the bits of a file's batches from a function."""
    files = [file for file in files if file.held_back]
    layers = 0 if masking is None else masking.bidirectional_layers
    bits = {f.name: count(_batches(f, data, masking), bidirectional_layers=layers) for f in files}
    n_bytes = sum(file.held_back_bytes for file in files)
    if not files:
        return None
    return Evaluation(sum(bits.values()) / n_bytes, {f.name: bits[f.name] / f.held_back_bytes for f in files})


def _batches(file: EncodedFile, data: DataConfig, masking: Masking | None) -> Iterator[Batch]:
    for batch in held_back_batches(file, data):
        yield from [batch] if masking is None else masking.turns(batch)


@torch.no_grad()
def bits_of(model: BloomLanguageModel, batch: Batch, bidirectional_layers: int) -> float:
    """RETURNS (float): Negative log2 probability of all labels of a batch."""
    batch = batch.to(model.device)
    nll = packed_nll(model, batch, bidirectional_layers)
    return nll.double().sum().item() / math.log(2)


def packed_nll(model: BloomLanguageModel, batch: Batch, bidirectional_layers: int) -> Tensor:
    """RETURNS (Tensor): Negative log-likelihood of the labels that are not ignored, in nats. Shape (labels,)."""
    hidden = model.transformer.encode_packed(
        batch.input_ids, batch.lengths, bidirectional_layers=bidirectional_layers
    )
    kept = batch.labels != IGNORED_LABEL  # the logits of others are not computed
    return model.lm_head.nll(hidden[kept], batch.labels[kept])
