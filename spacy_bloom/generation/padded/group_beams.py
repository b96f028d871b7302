"""Beam search in groups that avoid each other's pieces."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..rows import Row
from .beams import WORST
from .call import PaddedCall
from .calling_forms import Rectangle
from .hypotheses import Hypotheses, best_of, choose


def group_beam_search(call: PaddedCall) -> Any:
    """RETURNS (Tensor | GenerateBeamDecoderOnlyOutput): As `generate`.

    SOURCE: https://arxiv.org/abs/1610.02424; in ids, transformers' `_group_beam_search`.
    """
    return _Groups(call).run()


class _Groups:
    def __init__(self, call: PaddedCall) -> None:
        self.call, self.config = call, call.config
        self.groups = call.config.num_beam_groups
        self.beams = call.config.num_beams
        self.size = self.beams // self.groups
        n = len(call.ids)
        # One for each group of each prompt.
        self.hypotheses = [Hypotheses(call.config, self.size, call.limit) for _ in range(n * self.groups)]
        self.ids = call.expanded(self.beams)
        scores = torch.full((n, self.beams), WORST, device=call.ids.device)
        scores[:, :: self.size] = 0.0
        self.scores = scores.flatten()  # (rows,)
        self.origins: list[list[int]] = [[] for _ in range(n * self.beams)]

    def run(self) -> Any:
        """RETURNS (Tensor | GenerateBeamDecoderOnlyOutput): As `generate`."""
        steps = self.call.steps(self.beams)
        n, going_on = 0, True
        while going_on:
            n += 1
            step = steps(self.ids)
            processed = self._advance(F.log_softmax(step.logits, dim=-1), n)
            self.call.records.add(step, processed, step.logits)
            if steps.cache is not None:
                steps.select(torch.tensor([own[-1] for own in self.origins]))
            all_done = all(one.done for one in self.hypotheses)
            going_on = not all_done and not bool(self.call.finished(self.ids).all())
        self._keep_the_rest(n)
        longest = self.call.ids.shape[1] + self.call.limit
        found = best_of(self.hypotheses, self.ids, self.call.fill, longest)
        sequences, scores, origins = found
        kept = origins if self.config.output_scores else None
        return self.call.beam_output(sequences, scores, kept, steps)

    def _advance(self, scores: Tensor, n: int) -> Tensor:
        """Add a piece to each row, group by group.

        RETURNS (Tensor): The processed scores. Shape (rows, vocab_size).
        """
        processed = torch.zeros_like(scores)
        pieces = torch.zeros_like(self.ids[:, 0])  # what earlier groups have chosen
        rows = torch.arange(len(self.ids), device=scores.device)  # what each row continues
        origins = list(self.origins)
        for group in range(self.groups):
            starts = range(group * self.size, len(self.ids), self.beams)
            places = [start + i for start in starts for i in range(self.size)]
            mine = torch.tensor(places, device=scores.device)
            own = self.call.process(self.ids[mine], scores[mine], current_tokens=pieces, beam_group_idx=group)
            processed[mine] = own
            total = own + self.scores[mine][:, None]
            for p in range(len(self.call.ids)):
                part = slice(p * self.size, (p + 1) * self.size)
                self._choose(p, group, total[part], places[part], n, pieces, rows, origins)
        self.ids = torch.cat((self.ids[rows], pieces[:, None]), dim=1)
        self.origins = [[*self.origins[row], row] for row in rows.tolist()]
        return processed

    def _choose(
        self,
        prompt: int,
        group: int,
        total: Tensor,
        places: list[int],
        n: int,
        pieces: Tensor,
        rows: Tensor,
        origins: list[list[int]],
    ) -> None:
        """Choose for one group of a prompt; writes its pieces, scores, and the rows that it continues."""
        hypotheses = self.hypotheses[prompt * self.groups + group]
        if hypotheses.done:
            pieces[places] = self.call.fill
            self.scores[places] = 0.0
            rows[places] = (
                group * self.size
            )  # what goes on there counts no more; there it is of the first prompt
            return
        chosen = choose(hypotheses, total, self.ids, places, n, origins)
        hypotheses.look(float(total.max()), n)
        pieces[places] = torch.tensor(chosen.pieces, device=pieces.device)
        self.scores[places] = torch.tensor(chosen.scores, device=self.scores.device)
        rows[places] = torch.tensor(chosen.rows, device=rows.device)

    def _keep_the_rest(self, n: int) -> None:
        """Unfinished sequences are as good as finished ones at the end."""
        for i, hypotheses in enumerate(self.hypotheses):
            for row in range(i * self.size, (i + 1) * self.size) if not hypotheses.done else ():
                hypotheses.add(self.ids[row], float(self.scores[row]), n, self.origins[row])


class Diversity:
    """Takes from the scores of pieces that earlier groups of a prompt have chosen at this step.

    penalty (float): For each beam that chose a piece.
    beams, groups (int): Beams of a prompt, and groups of them.
    rectangle (Rectangle): Holds the number of the group and what the others chose.
    """

    def __init__(self, penalty: float, beams: int, groups: int, rectangle: Rectangle) -> None:
        self.penalty, self.beams, self.size, self.rectangle = penalty, beams, beams // groups, rectangle

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """See LogitsProcessor."""
        chosen, group = self.rectangle.more["current_tokens"], self.rectangle.more["beam_group_idx"]
        for p in range(len(chosen) // self.beams if group else 0):
            before = chosen[p * self.beams : p * self.beams + group * self.size]
            counts = torch.bincount(before, minlength=scores.shape[-1])
            scores[p * self.size : (p + 1) * self.size] -= self.penalty * counts
        return scores
