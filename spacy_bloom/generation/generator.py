"""Rows of pieces from a language model. Streaming is the primitive; a complete text is the end of a stream."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from ..bloom.heads import BloomLanguageModel
from ..quantization.shortlist import Shortlist, has_shortlist
from .beams import beam_search
from .config import GenerationConfig
from .drafting import Drafter, NgramLookup
from .processors.chain import logits_processors
from .rows import LogitsProcessor, Row
from .running import RunningRows
from .sampling import RowSampler, row_samplers, sample
from .stopping import Stopping

# Of a sequence of pieces that is looked up for a draft, where the config does not say.
LONGEST_NGRAM = 2


@dataclass(frozen=True)
class GeneratedPieces:
    """What a step of generation adds to one sequence, or all steps together.

    prompt (int): Number of the prompt.
    sequence (int): Which of the sequences returned for it.
    pieces (tuple[int, ...]): The new pieces: one, several if a draft was right, or all of a beam at its end.
    finished (str | None): Why the sequence ends with them: "eos", "stop_string", "length" or "time". None while it
        goes on.
    score (float | None): Of a beam: its log-probability divided by its length to the power of length_penalty.
    text (str | None): The whole characters that the pieces complete, if a tokenizer was given. The texts of all steps
        joined are the sequence's text.
    """

    prompt: int
    sequence: int
    pieces: tuple[int, ...]
    finished: str | None = None
    score: float | None = None
    text: str | None = None

    def text_before(self, stops: Sequence[str]) -> str:
        """RETURNS (str): The text up to the stop string that ended it, if one did."""
        text = self.text or ""
        found = [text.find(stop) for stop in stops if stop in text]
        return text[: min(found)] if found and self.finished == "stop_string" else text


@torch.inference_mode()
def generate_stream(
    model: BloomLanguageModel,
    prompts: Sequence[Sequence[int]],
    config: GenerationConfig,
    *,
    vocabulary: int | None = None,
    processors: Sequence[LogitsProcessor] = (),
    stopping: Stopping | None = None,
    drafter: Callable[[], Drafter] | None = None,
) -> Iterator[GeneratedPieces]:
    """Continue prompts together. The sequences of a prompt do not depend on other prompts. Finished sequences leave
    the batch, and the common prefix of the prompts is computed once.

    model (BloomLanguageModel): In evaluation mode.
    prompts (Sequence[Sequence[int]]): Ids of each, at least one.
    config (GenerationConfig): The options.
    vocabulary (int | None): Number of pieces that may be generated; None for all rows of the embedding.
    processors (Sequence[LogitsProcessor]): Constraints and other changes of the scores.
    stopping (Stopping | None): Where sequences end; None for the config's options, without stop strings.
    drafter (Callable[[], Drafter] | None): Makes what drafts for one sequence; None for what the config says.
    YIELDS (GeneratedPieces): Every step; for beam search, each sequence once it is final, and fewer than asked for if
        the constraints leave fewer.
    RAISES (InputError): At the first step: no prompt or an empty one, an id outside the vocabulary, a model in
        training mode. Later: a row that no piece may follow.
    """
    rows = [[int(piece) for piece in prompt] for prompt in prompts]
    vocabulary = model.config.vocab_size if vocabulary is None else vocabulary
    chain = logits_processors(config, vocabulary, custom=processors)
    stopping = Stopping(config) if stopping is None else stopping
    if config.num_beams > 1:
        for p, beams in beam_search(model, rows, config, chain, stopping):
            for s, beam in enumerate(beams[: config.num_return_sequences]):
                yield GeneratedPieces(p, s, tuple(beam.pieces), beam.finished, beam.score)
        return
    yield from _Stream(model, rows, config, chain, stopping, drafter).run()


@dataclass
class _Sequence:
    """A row with its sampler and drafts."""

    prompt: int
    number: int
    row: Row
    sampler: RowSampler
    drafter: Drafter | None = None
    draft: list[int] = field(default_factory=list)


class _Stream:
    """Greedy decoding and sampling.

    Every step feeds each row its last piece and the drafted pieces, if any. The scores after each of them decide what
    would have been chosen there: a draft is accepted up to the first difference.
    """

    def __init__(
        self,
        model: BloomLanguageModel,
        prompts: list[list[int]],
        config: GenerationConfig,
        chain: Sequence[LogitsProcessor],
        stopping: Stopping,
        drafter: Callable[[], Drafter] | None = None,
    ) -> None:
        self.model, self.config, self.chain, self.stopping = model, config, chain, stopping
        self.most_drafted = config.prompt_lookup_num_tokens
        if drafter is None and self.most_drafted is not None:
            drafter = partial(NgramLookup, config.max_matching_ngram_size or LONGEST_NGRAM)
        n = config.num_return_sequences
        samplers = row_samplers(config.seed, len(prompts), n) if config.do_sample else []
        only_forbids = not config.do_sample and all(getattr(p, "only_forbids", False) for p in chain)
        self.shortlist = (
            Shortlist(model) if config.shortlist and only_forbids and has_shortlist(model.lm_head) else None
        )
        self.limits = [config.max_added(len(prompt)) for prompt in prompts]
        self.rows = RunningRows(model)
        self.prompts = prompts
        self.live = [
            _Sequence(p, s, Row(prompts[p], number=p), samplers[p * n + s] if samplers else RowSampler(0))
            for p in range(len(prompts))
            for s in range(n)
        ]
        if drafter is not None:
            for sequence in self.live:
                sequence.drafter = drafter()
                sequence.drafter.add(sequence.row.prompt)

    def run(self) -> Iterator[GeneratedPieces]:
        """YIELDS (GeneratedPieces): See `generate_stream`."""
        hidden = self.rows.start(self.prompts)[:, None]  # (prompts, 1, hidden_size)
        n = self.config.num_return_sequences
        if n > 1:
            copies = torch.arange(len(self.prompts)).repeat_interleave(n)
            self.rows.select(copies)
            hidden = hidden[copies.to(hidden.device)]
        while True:
            yield from self._choose(hidden)
            if not self.live:
                return
            hidden = self.rows.feed([[s.row.generated[-1], *s.draft] for s in self.live])

    def _choose(self, hidden: Tensor) -> Iterator[GeneratedPieces]:
        """Choose the next pieces, and drop finished rows.

        hidden (Tensor): After the last piece and each drafted one. Shape (rows, 1 + most drafted, hidden_size).
        """
        added: list[list[int]] = [[] for _ in self.live]
        finished: list[str | None] = [None] * len(self.live)
        open_rows = list(range(len(self.live)))
        for place in range(hidden.shape[1]):
            chosen = self._next_pieces(hidden[:, place], open_rows)
            still_open = []
            for i, piece in zip(open_rows, chosen, strict=True):
                sequence = self.live[i]
                sequence.row.generated.append(piece)
                added[i].append(piece)
                finished[i] = self.stopping.reason(sequence.row, self.limits[sequence.prompt])
                drafted = place < len(sequence.draft) and sequence.draft[place] == piece
                if drafted and finished[i] is None:
                    still_open.append(i)
            open_rows = still_open
            if not open_rows:
                break
        # Take back what was fed and not chosen. The last chosen piece has not been fed yet.
        self.rows.take_back([1 + len(s.draft) - len(new) for s, new in zip(self.live, added, strict=True)])
        for sequence, new, why in zip(self.live, added, finished, strict=True):
            yield GeneratedPieces(sequence.prompt, sequence.number, tuple(new), why)
            if why is None:
                self._draft(sequence, new)
        self._drop([why is not None for why in finished])

    def _next_pieces(self, hidden: Tensor, open_rows: list[int]) -> list[int]:
        """RETURNS (list[int]): The piece that follows in each of the open rows."""
        live = [self.live[i] for i in open_rows]
        rows = [sequence.row for sequence in live]
        some = hidden if len(rows) == len(hidden) else hidden[torch.tensor(open_rows, device=hidden.device)]
        if self.shortlist is not None:
            return self.shortlist.best(some, partial(self._process, rows)).tolist()
        scores = self._process(rows, self.model.lm_head.logits(some))  # (open rows, vocab_size)
        if not self.config.do_sample:
            return scores.argmax(dim=-1).tolist()
        return sample(scores, [s.sampler for s in live], [len(row.generated) for row in rows]).tolist()

    def _process(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        for processor in self.chain:
            scores = processor(rows, scores)
        return scores

    def _drop(self, done: list[bool]) -> None:
        if any(done):
            kept = [i for i, is_done in enumerate(done) if not is_done]
            self.live = [self.live[i] for i in kept]
            if kept:
                self.rows.select(torch.tensor(kept))

    def _draft(self, sequence: _Sequence, new: list[int]) -> None:
        if sequence.drafter is not None:
            sequence.drafter.add(new)
            # The last piece that may follow is never fed.
            left = self.limits[sequence.prompt] - len(sequence.row.generated) - 1
            sequence.draft = sequence.drafter.draft(
                left if self.most_drafted is None else min(self.most_drafted, left)
            )
