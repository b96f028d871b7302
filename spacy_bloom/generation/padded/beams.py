"""Beam search on a rectangle, as Hugging Face's: all prompts go on until none can improve."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..sampling import sample_distinct
from .call import PaddedCall

# Taken from a score to take its sequence out; what is finished may be no worse than this.
WORST = -1e9


def beam_search(call: PaddedCall) -> Any:
    """RETURNS (Tensor | GenerateBeamDecoderOnlyOutput): As `generate`.

    SOURCE: transformers' `_beam_search`, in ids and numbers.
    """
    return _Beams(call).run()


class _Beams:
    """
    running, finished (dict[str, Tensor]): Of each prompt's beams: "ids", shape (prompts, beams, length), "scores",
        shape (prompts, beams), "origins", the rows that pieces were taken from, shape (prompts, beams, most added);
        of finished ones "ended", whether there is a sequence, shape (prompts, beams).
    """

    def __init__(self, call: PaddedCall) -> None:
        self.call, self.config = call, call.config
        self.beams = call.config.num_beams
        self.start = call.ids.shape[1]
        n, device = len(call.ids), call.ids.device
        # Enough for num_beams unfinished ones if all others end by eos.
        self.candidates = max(2, 1 + len(call.config.eos_token_ids)) * self.beams
        ids = torch.full((n, self.beams, self.start + call.limit), call.fill, dtype=torch.long, device=device)
        ids[:, :, : self.start] = call.ids[:, None]
        scores = torch.full((n, self.beams), WORST, device=device)
        origins = torch.full((n, self.beams, call.limit), -1, dtype=torch.int32, device=device)
        ended = torch.zeros(n, self.beams, dtype=torch.bool, device=device)
        self.finished = {"ids": ids, "scores": scores, "origins": origins, "ended": ended}
        first = scores.clone()
        first[:, 0] = 0.0  # the others are copies of it
        self.running = {"ids": ids.clone(), "scores": first, "origins": origins.clone()}
        self.samplers = call.samplers() if call.config.do_sample else None

    def run(self) -> Any:
        """RETURNS (Tensor | GenerateBeamDecoderOnlyOutput): As `generate`."""
        steps = self.call.steps(self.beams)
        n, going_on = 0, True
        while going_on:
            rows = self.running["ids"].flatten(0, 1)[:, : self.start + n]
            step = steps(rows)
            scores = self.call.process(rows, F.log_softmax(step.logits, dim=-1))
            self.call.records.add(step, scores, step.logits)
            found = self._best(scores, n)
            ids = found["ids"][:, :, : self.start + n + 1].flatten(0, 1)
            found["ended"] = self.call.finished(ids).view(len(self.call.ids), self.candidates)
            self._go_on(found)
            self._finish(found, n + 1)
            if steps.cache is not None:
                steps.select(self.running["origins"][:, :, n].flatten().long())
            n += 1
            going_on = self._can_improve(n) and not bool(found["ended"].all())
        return self._output(steps)

    def _best(self, scores: Tensor, n: int) -> dict[str, Tensor]:
        """
        scores (Tensor): Processed log-probabilities. Shape (prompts * beams, vocab_size).
        RETURNS (dict[str, Tensor]): The best continuations of each prompt, the best first, or sampled ones.
        """
        vocab_size = scores.shape[-1]
        total = scores.view(len(self.call.ids), self.beams, vocab_size) + self.running["scores"][:, :, None]
        total = total.flatten(1)  # (prompts, beams * vocab_size)
        if self.samplers is None:
            best, places = total.topk(min(self.candidates, total.shape[1]))
        else:
            places = sample_distinct(total, self.samplers, [n] * len(total), self.candidates)
            best = total.gather(1, places.clamp(min=0)).masked_fill(places < 0, -torch.inf)
            places = places.clamp(min=0)
        beams = places // vocab_size
        found = {name: _gather(self.running[name], beams) for name in ("ids", "origins")}
        found["ids"][:, :, self.start + n] = places % vocab_size
        first = torch.arange(len(beams), device=beams.device)[:, None] * self.beams
        found["origins"][:, :, n] = (beams + first).int()
        return {**found, "scores": best}

    def _go_on(self, found: dict[str, Tensor]) -> None:
        """Keep the best unfinished continuations."""
        open_scores = found["scores"] + found["ended"] * WORST
        places = open_scores.topk(self.beams)[1]
        self.running = {name: _gather(found[name], places) for name in ("ids", "origins")}
        self.running["scores"] = open_scores.gather(1, places)

    def _finish(self, found: dict[str, Tensor], n: int) -> None:
        """Put continuations that end among the best finished ones; only the first num_beams may."""
        among = torch.arange(self.candidates, device=found["ended"].device) < self.beams
        ended = found["ended"] & among
        scores = found["scores"] / n**self.config.length_penalty
        if self.config.early_stopping is True:
            scores = scores + self.finished["ended"].all(dim=-1, keepdim=True) * WORST
        new = {**found, "scores": scores + ~ended * WORST, "ended": ended}
        merged = {name: torch.cat((old, new[name]), dim=1) for name, old in self.finished.items()}
        places = merged["scores"].topk(self.beams)[1]
        self.finished = {name: _gather(tensor, places) for name, tensor in merged.items()}

    def _can_improve(self, n: int) -> bool:
        """Whether an unfinished sequence of any prompt may become better than a finished one."""
        config = self.config
        longest = config.early_stopping == "never" and config.length_penalty > 0
        best = self.running["scores"][:, :1] / (self.call.limit if longest else n) ** config.length_penalty
        worst = self.finished["scores"].amin(dim=1, keepdim=True)
        worst = torch.where(self.finished["ended"], worst, WORST)
        if config.early_stopping is True and bool(self.finished["ended"].all()):
            return False
        return bool((best > worst).any())

    def _output(self, steps: Any) -> Any:
        n = self.config.num_return_sequences
        ids, scores, origins = (
            self.finished[name][:, :n].flatten(0, 1) for name in ("ids", "scores", "origins")
        )
        longest = int((origins >= 0).sum(dim=1).max())
        return self.call.beam_output(ids[:, : self.start + longest], scores, origins[:, :longest], steps)


def _gather(tensor: Tensor, beams: Tensor) -> Tensor:
    """
    tensor (Tensor): Shape (prompts, beams, ...).
    beams (Tensor): Numbers of beams. Shape (prompts, wanted).
    RETURNS (Tensor): A copy of these beams. Shape (prompts, wanted, ...).
    """
    return tensor.take_along_dim(beams.view(*beams.shape, *[1] * (tensor.dim() - 2)), dim=1)
