"""What `generate` returns beside the sequences, under Hugging Face's names."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ...bloom.outputs import ModelOutput

Layers = tuple[tuple[Tensor, ...], ...]


@dataclass(eq=False)
class GenerateDecoderOnlyOutput(ModelOutput):
    """Sequences without beams. Fields that were not asked for are None.

    sequences (Tensor): The given rows, followed by what was generated. Shape (rows, length).
    scores (tuple[Tensor, ...] | None): Processed scores at each step. Shape (rows, vocab_size), float32.
    logits (tuple[Tensor, ...] | None): The same before any processor.
    attentions (tuple | None): By step and layer. Shape (rows, n_head, queries, keys).
    hidden_states (tuple | None): By step and layer. Shape (rows, queries, hidden_size).
    past_key_values (KeyValueCache | None): Of all pieces but the last.
    """

    sequences: Tensor | None = None
    scores: tuple[Tensor, ...] | None = None
    logits: tuple[Tensor, ...] | None = None
    attentions: Layers | None = None
    hidden_states: Layers | None = None
    past_key_values: Any = None


@dataclass(eq=False)
class GenerateBeamDecoderOnlyOutput(ModelOutput):
    """Sequences of beams; fields as above, rows being beams, and:

    sequences_scores (Tensor | None): Of each sequence, with output_scores. Shape (rows,).
    beam_indices (Tensor | None): The row of `scores` from which each piece was taken, -1 after the end.
        Shape (rows, most generated).
    """

    sequences: Tensor | None = None
    sequences_scores: Tensor | None = None
    scores: tuple[Tensor, ...] | None = None
    logits: tuple[Tensor, ...] | None = None
    beam_indices: Tensor | None = None
    attentions: Layers | None = None
    hidden_states: Layers | None = None
    past_key_values: Any = None
