"""Bits per byte of held-back lines, by which models with different tokenizers can be compared."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

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


@torch.no_grad()
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
    model.eval()
    files = [file for file in files if file.held_back]
    bits = {
        file.name: sum(_bits(model, batch, masking) for batch in held_back_batches(file, data))
        for file in files
    }
    n_bytes = sum(file.held_back_bytes for file in files)
    if not files:
        return None
    return Evaluation(sum(bits.values()) / n_bytes, {f.name: bits[f.name] / f.held_back_bytes for f in files})


def _bits(model: BloomLanguageModel, batch: Batch, masking: Masking | None) -> float:
    if masking is not None:
        return sum(_bits_of(model, turn, masking.bidirectional_layers) for turn in masking.turns(batch))
    return _bits_of(model, batch, 0)


def _bits_of(model: BloomLanguageModel, batch: Batch, bidirectional_layers: int) -> float:
    batch = batch.to(model.device)
    hidden = model.transformer.encode_packed(
        batch.input_ids, batch.lengths, bidirectional_layers=bidirectional_layers
    )
    kept = batch.labels != IGNORED_LABEL  # the logits of others are not computed
    return model.lm_head.nll(hidden[kept], batch.labels[kept]).double().sum().item() / math.log(2)
