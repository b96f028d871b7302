"""Beam search: the best sequences, not the best next pieces."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn import functional as F

from ..bloom.heads import BloomLanguageModel
from .config import GenerationConfig
from .processors.vocabulary import SomePieceLeft
from .rows import LogitsProcessor, Row
from .running import RunningRows
from .sampling import RowSampler, row_samplers, sample_distinct
from .stopping import Stopping


@dataclass(frozen=True)
class Beam:
    """A finished sequence.

    pieces (list[int]): The pieces added to the prompt.
    score (float): Log-probability after the processors, divided by the length to the power of length_penalty.
    finished (str): Why it ends.
    """

    pieces: list[int]
    score: float
    finished: str


@dataclass
class _Search:
    """The beams of one prompt.

    rows (list[Row]): Unfinished sequences, the best first.
    scores (list[float]): Their log-probabilities.
    finished (list[Beam]): The best finished sequences, the best first.
    """

    prompt: int
    limit: int
    sampler: RowSampler | None
    rows: list[Row]
    scores: list[float]
    finished: list[Beam] = field(default_factory=list)


@dataclass(frozen=True)
class _Candidate:
    """A beam with one more piece."""

    beam: int
    row: Row
    score: float
    finished: str | None


def beam_search(
    model: BloomLanguageModel,
    prompts: Sequence[Sequence[int]],
    config: GenerationConfig,
    chain: Sequence[LogitsProcessor],
    stopping: Stopping,
) -> Iterator[tuple[int, list[Beam]]]:
    """Keep num_beams sequences per prompt. Each prompt's search ends by itself (in Hugging Face, all go on until
    the last one ends).

    YIELDS (tuple[int, list[Beam]]): The number of a prompt and its num_beams best sequences, the best first; fewer
        if no more are legal.
    RAISES (InputError): No piece may follow any beam of a prompt.
    SOURCE: transformers' `_beam_search`, in ids.
    """
    return _BeamSearch(model, prompts, config, chain, stopping).run(prompts)


class _BeamSearch:
    def __init__(
        self,
        model: BloomLanguageModel,
        prompts: Sequence[Sequence[int]],
        config: GenerationConfig,
        chain: Sequence[LogitsProcessor],
        stopping: Stopping,
    ) -> None:
        self.model, self.config, self.chain, self.stopping = model, config, chain, stopping
        # Enough for num_beams unfinished ones if all others end by eos.
        self.n_candidates = max(2, 1 + len(config.eos_token_ids)) * config.num_beams
        self.running = RunningRows(model)
        samplers = row_samplers(config.seed, len(prompts)) if config.do_sample else [None] * len(prompts)
        self.live = [
            _Search(p, config.max_added(len(prompt)), samplers[p], [Row(prompt, number=p)], [0.0])
            for p, prompt in enumerate(prompts)
        ]

    def run(self, prompts: Sequence[Sequence[int]]) -> Iterator[tuple[int, list[Beam]]]:
        hidden = self.running.start(prompts)  # (rows, hidden_size)
        while True:
            kept = self._advance(self._log_probabilities(hidden))
            for search, rows in zip(self.live, kept, strict=True):
                if rows is None:
                    yield search.prompt, search.finished
            self.live = [s for s, rows in zip(self.live, kept, strict=True) if rows is not None]
            if not self.live:
                return
            order = [row for rows in kept for row in rows or ()]
            self.running.select(torch.tensor(order))
            hidden = self.running.feed([[r.generated[-1]] for s in self.live for r in s.rows])[:, -1]

    def _log_probabilities(self, hidden: Tensor) -> Tensor:
        """RETURNS (Tensor): Processed log-probabilities of the next piece. Shape (rows, vocab_size)."""
        scores = F.log_softmax(self.model.lm_head.logits(hidden), dim=-1)
        rows = [row for search in self.live for row in search.rows]
        for processor in self.chain:
            scores = processor(rows, scores)
        return scores

    def _advance(self, scores: Tensor) -> list[list[int] | None]:
        """RETURNS (list[list[int] | None]): The rows that each search continues; None if it ended."""
        sizes = [len(search.rows) for search in self.live]
        parts = zip(self.live, accumulate(sizes, initial=0), scores.split(sizes), strict=False)
        return [self._step(*part) for part in parts]

    def _step(self, search: _Search, start: int, scores: Tensor) -> list[int] | None:
        """
        start (int): Number of the search's first row.
        scores (Tensor): Scores of its rows. Shape (rows, vocab_size).
        """
        candidates = self._candidates(search, scores)
        n = len(search.rows[0].generated) + 1
        self._finish(search, candidates[: self.config.num_beams], n)
        going_on = sorted((c for c in candidates if c.finished is None), key=lambda c: -c.score)
        del going_on[self.config.num_beams :]
        search.rows = [c.row for c in going_on]
        search.scores = [c.score for c in going_on]
        return [start + c.beam for c in going_on] if going_on and self._can_improve(search, n) else None

    def _candidates(self, search: _Search, scores: Tensor) -> list[_Candidate]:
        """RETURNS (list[_Candidate]): The best continuations of all beams, the best first, or sampled ones."""
        vocab_size = scores.shape[-1]
        total = scores + torch.tensor(search.scores, device=scores.device)[:, None]  # (beams, vocab_size)
        flat = total.flatten()
        if search.sampler is None:
            best, places = flat.topk(min(self.n_candidates, len(flat)))
        else:
            step = len(search.rows[0].generated)
            places = sample_distinct(flat[None], [search.sampler], [step], self.n_candidates)[0]
            places = places[places >= 0]
            best = flat[places]
        found = []
        for score, place in zip(best.tolist(), places.tolist(), strict=True):
            if score == -torch.inf:
                continue  # no piece may follow this beam; others go on
            old = search.rows[place // vocab_size]
            row = Row(old.prompt, [*old.generated, place % vocab_size], old.number)
            found.append(_Candidate(place // vocab_size, row, score, self.stopping.reason(row, search.limit)))
        if (not found and not search.finished) or best.isnan().any():
            SomePieceLeft()(search.rows, scores)  # raises an error that names the row
        return found

    def _finish(self, search: _Search, candidates: Sequence[_Candidate], n: int) -> None:
        """Put finished candidates among the best ones."""
        divisor = n**self.config.length_penalty
        search.finished += [
            Beam(c.row.generated, c.score / divisor, c.finished) for c in candidates if c.finished is not None
        ]
        search.finished.sort(key=lambda beam: -beam.score)
        del search.finished[self.config.num_beams :]

    def _can_improve(self, search: _Search, n: int) -> bool:
        """Whether an unfinished sequence may become better than a finished one: an estimate unless early_stopping is
        "never", as in Hugging Face.
        """
        config = self.config
        if len(search.finished) < config.num_beams:
            return True
        if config.early_stopping is True:
            return False
        longest = config.early_stopping == "never" and config.length_penalty > 0
        best = search.scores[0] / (search.limit if longest else n) ** config.length_penalty
        return best > search.finished[-1].score
