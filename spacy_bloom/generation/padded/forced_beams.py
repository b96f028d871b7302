"""Beam search for texts with forced words."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .beams import WORST
from .call import PaddedCall
from .forced_words import Progress, forced_words
from .hypotheses import Chosen, Hypotheses, best_of, choose


def forced_beam_search(call: PaddedCall) -> Any:
    """RETURNS (Tensor | GenerateBeamDecoderOnlyOutput): As `generate`.

    SOURCE: https://arxiv.org/abs/1612.02695 and 1804.06609; in ids, transformers' `_constrained_beam_search`.
    """
    return _ForcedBeams(call).run()


class _ForcedBeams:
    def __init__(self, call: PaddedCall) -> None:
        self.call, self.config = call, call.config
        self.beams = call.config.num_beams
        self.words = forced_words(call.config)
        self.hypotheses = [Hypotheses(call.config, self.beams, call.limit) for _ in call.ids]
        self.ids = call.expanded(self.beams)
        scores = torch.full((len(call.ids), self.beams), WORST, device=call.ids.device)
        scores[:, 0] = 0.0
        self.scores = scores.flatten()  # (rows,)
        self.origins: list[list[int]] = [[] for _ in self.ids]

    def run(self) -> Any:
        """RETURNS (Tensor | GenerateBeamDecoderOnlyOutput): As `generate`."""
        steps = self.call.steps(self.beams)
        n, going_on = 0, True
        while going_on:
            n += 1
            step = steps(self.ids)
            own = self.call.process(self.ids, F.log_softmax(step.logits, dim=-1))
            total = own + self.scores[:, None]  # (rows, vocab_size)
            self.call.records.add(step, total, step.logits)
            rows = self._advance(total, n)
            if steps.cache is not None:
                steps.select(rows)
            all_done = all(one.done for one in self.hypotheses)
            going_on = not all_done and not bool(self.call.finished(self.ids).all())
        self._keep_the_rest(n)
        longest = self.call.ids.shape[1] + self.call.limit
        sequences, scores, origins = best_of(self.hypotheses, self.ids, self.call.fill, longest)
        return self.call.beam_output(sequences, scores, origins if self.config.output_scores else None, steps)

    def _advance(self, total: Tensor, n: int) -> Tensor:
        """Add a piece to each row. RETURNS (Tensor): The rows that are continued. Shape (rows,)."""
        everything = Chosen()
        for p, hypotheses in enumerate(self.hypotheses):
            part = list(range(p * self.beams, (p + 1) * self.beams))
            if hypotheses.done:
                chosen = Chosen([self.call.fill] * self.beams, [0.0] * self.beams, [0] * self.beams)
            else:
                chosen = choose(hypotheses, total[part], self.ids, part, n, self.origins, self._is_complete)
                hypotheses.look(float(total[part].max()), n)
                chosen = self._with_progress(chosen, total, part)
            everything.pieces += chosen.pieces
            everything.scores += chosen.scores
            everything.rows += chosen.rows
        rows = torch.tensor(everything.rows, device=self.ids.device)
        pieces = torch.tensor(everything.pieces, device=self.ids.device, dtype=self.ids.dtype)
        self.ids = torch.cat((self.ids[rows], pieces[:, None]), dim=1)
        self.scores = torch.tensor(everything.scores, device=self.scores.device)
        self.origins = [[*self.origins[row], row] for row in everything.rows]
        return rows

    def _with_progress(self, chosen: Chosen, total: Tensor, part: Sequence[int]) -> Chosen:
        """Let continuations that bring forced words further compete with the best ones: the best of each bank, then the
        second of each, and so on.
        """
        before = {row: self.ids[row].tolist() for row in part}
        texts = [[*before[row], piece] for row, piece in zip(chosen.rows, chosen.pieces, strict=True)]
        more = Chosen(list(chosen.pieces), list(chosen.scores), list(chosen.rows))
        for row in part:
            for piece in Progress(self.words, before[row]).advance():
                if [*before[row], piece] not in texts:
                    texts.append([*before[row], piece])
                    more.pieces.append(piece)
                    more.scores.append(float(total[row, piece]))
                    more.rows.append(row)
        if len(texts) == len(chosen.pieces):
            return chosen
        order = _by_turns([Progress(self.words, text).bank for text in texts], more.scores)[: self.beams]
        return Chosen(
            [more.pieces[i] for i in order], [more.scores[i] for i in order], [more.rows[i] for i in order]
        )

    def _is_complete(self, ids: Tensor) -> bool:
        return Progress(self.words, ids.tolist()).all_there

    def _keep_the_rest(self, n: int) -> None:
        """Unfinished sequences are as good as finished ones at the end; incomplete ones are, if there are too few."""
        for p, hypotheses in enumerate(self.hypotheses):
            if hypotheses.done:
                continue
            part = range(p * self.beams, (p + 1) * self.beams)
            complete = [row for row in part if self._is_complete(self.ids[row])]
            others = [row for row in part if row not in complete]
            few = len(complete) < self.config.num_return_sequences
            for row in [*complete, *(others if few else ())]:
                hypotheses.add(self.ids[row], float(self.scores[row]), n, self.origins[row])


def _by_turns(banks: Sequence[int], scores: Sequence[float]) -> list[int]:
    """RETURNS (list[int]): The numbers of candidates: the best of each bank, then the second ones, and so on."""
    order = torch.tensor([100 * bank + score for bank, score in zip(banks, scores, strict=True)])
    ranked = order.sort(descending=True).indices.tolist()
    places, last, place = [], None, 0
    for i in ranked:
        place = place + 1 if banks[i] == last else 0
        last = banks[i]
        places.append(place)
    return [ranked[k] for k in sorted(range(len(ranked)), key=places.__getitem__)]
