"""Contrastive search: of the most likely pieces, the one that is least like what is there already."""

from typing import Any

import torch
from torch import Tensor

from .call import PaddedCall
from .decoding import add_pieces
from .steps import Step, Steps


def contrastive_search(call: PaddedCall) -> Any:
    """Try top_k pieces at each step and take the best, by probability and distance to earlier hidden states.

    RETURNS (Tensor | GenerateDecoderOnlyOutput): As `generate`.
    SOURCE: https://arxiv.org/abs/2202.06417; in ids and numbers, transformers' `_contrastive_search`.
    """
    k, n = call.config.top_k, len(call.ids)
    ids, steps = call.ids, call.steps(hidden_states=True)
    step = steps(ids)
    assert step.last is not None
    context, real = step.last, steps.mask[:, :-1]  # of all pieces so far
    open_rows = torch.ones(n, dtype=torch.bool, device=ids.device)
    while True:
        scores = call.process(ids, step.logits)
        call.records.add(step, scores, step.logits)
        likely, pieces = scores.softmax(dim=-1).topk(k)  # (rows, k)
        steps.select(torch.arange(n).repeat_interleave(k))
        tried = steps(torch.cat((ids.repeat_interleave(k, dim=0), pieces.view(-1, 1)), dim=1))
        assert tried.last is not None
        chosen = _least_alike(
            context, real, tried.last.view(n, k, -1), likely, call.config.penalty_alpha or 0.0
        )
        rows = torch.arange(n, device=ids.device) * k + chosen
        steps.select(rows)
        step = _selected(tried, rows)
        assert step.last is not None
        context = torch.cat((context, step.last), dim=1)
        real = torch.cat((real, real.new_ones(n, 1)), dim=1)
        ids, open_rows = add_pieces(call, ids, pieces.gather(1, chosen[:, None])[:, 0], open_rows)
        if not open_rows.any():
            break
    if call.streamer is not None:
        call.streamer.end()
    _forget_last(steps)
    return call.output(ids, steps)


def _least_alike(context: Tensor, real: Tensor, tried: Tensor, likely: Tensor, alpha: float) -> Tensor:
    """
    context (Tensor): Hidden states so far. Shape (rows, length, hidden_size).
    real (Tensor): 0 for padding. Shape (rows, length).
    tried (Tensor): Those of the pieces that were tried. Shape (rows, k, hidden_size).
    likely (Tensor): Their probabilities. Shape (rows, k).
    alpha (float): Weight of the likeness.
    RETURNS (Tensor): Which one is the best in each row. Shape (rows,).
    """
    known = context / context.norm(dim=-1, keepdim=True)
    new = tried / tried.norm(dim=-1, keepdim=True)
    cosine = torch.matmul(new, known.transpose(1, 2))  # (rows, k, length)
    cosine = cosine + (1 - real[:, None].to(cosine.dtype)) * torch.finfo(cosine.dtype).min
    return ((1 - alpha) * likely - alpha * cosine.amax(dim=-1)).argmax(dim=-1)


def _selected(step: Step, rows: Tensor) -> Step:
    def some(parts: tuple[Tensor, ...] | None) -> tuple[Tensor, ...] | None:
        return None if parts is None else tuple(part[rows] for part in parts)

    last = None if step.last is None else step.last[rows]
    return Step(step.logits[rows], some(step.hidden_states), some(step.attentions), last)


def _forget_last(steps: Steps) -> None:
    """The last piece was fed to be compared; elsewhere it is not cached."""
    if steps.cache is not None and steps.cache.length:
        steps.cache.crop(steps.cache.length - 1)
