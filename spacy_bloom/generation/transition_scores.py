"""Scores of the pieces that were chosen, out of the scores of all."""

from collections.abc import Sequence

import torch
from torch import Tensor


def transition_scores(
    sequences: Tensor, scores: Sequence[Tensor], beam_indices: Tensor | None, normalize_logits: bool
) -> Tensor:
    """
    sequences (Tensor): Prompts and what was generated. Shape (rows, length).
    scores (Sequence[Tensor]): By step. Shape (rows or beams, vocab_size).
    beam_indices (Tensor | None): The row of `scores` that each piece was taken from, -1 where there is none; None if
        rows stay where they are. Shape (rows, steps).
    normalize_logits (bool): Make log-probabilities of them first.
    RETURNS (Tensor): 0 after the end of a beam. Shape (rows, steps of the longest).
    """
    by_step = torch.stack(list(scores))  # (steps, rows, vocab_size)
    if normalize_logits:
        by_step = by_step.log_softmax(dim=-1)
    if beam_indices is None:
        places = torch.arange(by_step.shape[1], device=sequences.device)[:, None].expand(-1, len(by_step))
    else:
        places = beam_indices
    longest = int((places >= 0).sum(dim=-1).max())
    places = places[:, :longest].to(by_step.device)
    pieces = sequences[:, sequences.shape[1] - longest :].to(by_step.device)
    steps = torch.arange(longest, device=by_step.device)[None]
    found = by_step[steps, places.clamp(min=0).long(), pieces]  # (rows, longest)
    return found.masked_fill(places < 0, 0.0)
