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
    bpb_by_file (dict[str, float]): The same by file.
    is_best (bool): Whether no earlier evaluation of the run was as good.
    """

    bpb: float
    bpb_by_file: dict[str, float]
    is_best: bool = False


@torch.no_grad()
def evaluate(
    model: BloomLanguageModel, files: Sequence[EncodedFile], data: DataConfig, masking: Masking | None = None
) -> Evaluation | None:
    """Bits per byte of the held-back lines, by which models with different tokenizers can be compared.

    It is minus log2 of the probability of each line's pieces (not of the `</s>` after them), given `</s>`
    before them and nothing else, divided by the UTF-8 bytes of the lines. With a masking, it is that of each piece
    given all of its line but the pieces that are masked with it.

    model (BloomLanguageModel): Left in evaluation mode.
    files (Sequence[EncodedFile]): Those without held-back lines are passed over.
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
