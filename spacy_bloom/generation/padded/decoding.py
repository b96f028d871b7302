"""Greedy decoding and sampling on a rectangle, also with layers in contrast."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..sampling import sample
from .call import PaddedCall
from .steps import Step


def decode(call: PaddedCall, contrast: Callable[[Step], Tensor] | None = None) -> Tensor:
    """Continue all rows until the last one ends.

    contrast (Callable[[Step], Tensor] | None): Gives other logits from all layers.
    RETURNS (Tensor | GenerateDecoderOnlyOutput): As `generate`.
    """
    copies = call.config.num_return_sequences
    ids = call.expanded(copies)
    steps = call.steps(copies, hidden_states=contrast is not None)
    samplers = call.samplers(copies) if call.config.do_sample else None
    open_rows = torch.ones(len(ids), dtype=torch.bool, device=ids.device)
    n = 0
    while open_rows.any():
        step = steps(ids)
        scores = call.process(ids, step.logits if contrast is None else contrast(step))
        call.records.add(step, scores, step.logits)
        pieces = scores.argmax(dim=-1) if samplers is None else sample(scores, samplers, [n] * len(ids))
        ids, open_rows = add_pieces(call, ids, pieces, open_rows)
        n += 1
    if call.streamer is not None:
        call.streamer.end()
    return call.output(ids, steps)


def add_pieces(call: PaddedCall, ids: Tensor, pieces: Tensor, open_rows: Tensor) -> tuple[Tensor, Tensor]:
    """Append a piece to each row; rows that have ended get padding, if anything but the length ends rows.

    RETURNS (tuple[Tensor, Tensor]): The rows, and which of them go on. Shapes (rows, length + 1) and (rows,).
    """
    if call.config.eos_token_ids or any(hasattr(c, "eos_token_id") for c in call.criteria):
        pieces = pieces.masked_fill(~open_rows, call.fill)
    ids = torch.cat((ids, pieces[:, None].to(ids.dtype)), dim=1)
    call.put(pieces)
    return ids, open_rows & ~call.finished(ids)
