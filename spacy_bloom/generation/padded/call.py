"""One call of `generate` on a rectangle: what all its loops share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ...bloom.cache import KeyValueCache
from ...bloom.heads import BloomLanguageModel
from ..config import GenerationConfig
from ..rows import LogitsProcessor, Row
from ..sampling import RowSampler, row_samplers
from ..stopping import Stopping
from .calling_forms import Rectangle
from .outputs import GenerateBeamDecoderOnlyOutput, GenerateDecoderOnlyOutput
from .steps import Step, Steps


@dataclass
class PaddedCall:
    """
    model (BloomLanguageModel): In evaluation mode.
    config (GenerationConfig): The options; max_new_tokens is what may be added.
    ids (Tensor): The prompts, padded on the left. Shape (prompts, length).
    mask (Tensor): 1 for pieces, 0 for padding, of what is fed first. Shape (prompts, keys).
    prompts (list[list[int]]): The prompts without padding.
    chain (list[LogitsProcessor]): What changes scores.
    rectangle (Rectangle): What processors of Hugging Face's form read.
    stopping (Stopping): Where rows end.
    criteria (list[Callable]): More ends, called with ids of shape (rows, length) and the scores so far.
    embeds, cache: As for Steps.
    streamer (Any): Gets the prompts, each step's pieces, and the end.
    """

    model: BloomLanguageModel
    config: GenerationConfig
    ids: Tensor
    mask: Tensor
    prompts: list[list[int]]
    chain: Sequence[LogitsProcessor]
    rectangle: Rectangle
    stopping: Stopping
    criteria: Sequence[Callable[..., Any]] = ()
    embeds: Tensor | None = None
    cache: KeyValueCache | None = None
    streamer: Any = None
    records: "Records" = field(init=False)

    def __post_init__(self) -> None:
        self.records = Records(self.config)

    @property
    def limit(self) -> int:
        """RETURNS (int): How many pieces may be added."""
        return self.config.fixed_added or 0

    @property
    def fill(self) -> int:
        """RETURNS (int): What follows the end of a row."""
        return next((i for i in (self.config.pad_token_id, *self.config.eos_token_ids) if i is not None), 0)

    def expanded(self, copies: int) -> Tensor:
        """RETURNS (Tensor): The prompts' ids, each as often. Shape (prompts * copies, length)."""
        return self.ids.repeat_interleave(copies, dim=0)

    def steps(self, copies: int = 1, *, hidden_states: bool = False) -> Steps:
        """RETURNS (Steps): The model, with each prompt as often."""
        numbers = torch.arange(len(self.ids)).repeat_interleave(copies)
        config = self.config
        steps = Steps(
            self.model,
            self.mask.repeat_interleave(copies, dim=0),
            embeds=None if self.embeds is None else self.embeds.repeat_interleave(copies, dim=0),
            cache=self.cache if self.cache is None or copies == 1 else self.cache.fork(numbers),
            use_cache=config.use_cache or self.embeds is not None,
            hidden_states=self.records.hidden_states is not None or hidden_states,
            attentions=self.records.attentions is not None,
        )
        return steps

    def samplers(self, copies: int = 1) -> list[RowSampler]:
        """RETURNS (list[RowSampler]): Random numbers of each row."""
        return row_samplers(self.config.seed, len(self.ids), copies)

    def rows(self, ids: Tensor) -> list[Row]:
        """ids (Tensor): Prompts and what was added, equally many rows for each prompt. Shape (rows, length)."""
        copies = len(ids) // len(self.prompts)
        added = ids[:, self.ids.shape[1] :].tolist()
        return [Row(self.prompts[i // copies], pieces, i // copies) for i, pieces in enumerate(added)]

    def process(self, ids: Tensor, scores: Tensor, **more: Any) -> Tensor:
        """
        ids (Tensor): The rows so far. Shape (rows, length).
        scores (Tensor): Of the next pieces; not changed. Shape (rows, vocab_size).
        RETURNS (Tensor): Processed scores.
        """
        self.rectangle.ids, self.rectangle.more = ids, more
        rows, scores = self.rows(ids), scores.clone()
        for processor in self.chain:
            scores = processor(rows, scores)
        return scores

    def finished(self, ids: Tensor) -> Tensor:
        """RETURNS (Tensor): Whether each row ends with its last piece. Shape (rows,), bool."""
        reasons = [self.stopping.reason(row, self.limit) for row in self.rows(ids)]
        done = torch.tensor([reason is not None for reason in reasons], device=ids.device)
        for criterion in self.criteria:
            done = done | torch.as_tensor(criterion(ids, self.records.scores), device=ids.device)
        return done

    def put(self, pieces: Tensor) -> None:
        """Hand pieces to the streamer, if there is one."""
        if self.streamer is not None:
            self.streamer.put(pieces.cpu())

    def output(self, ids: Tensor, steps: Steps) -> Any:
        """RETURNS (Tensor | GenerateDecoderOnlyOutput): What was asked for."""
        if not self.config.return_dict_in_generate:
            return ids
        return GenerateDecoderOnlyOutput(
            sequences=ids, **self.records.fields(), past_key_values=self._past(steps)
        )

    def beam_output(self, ids: Tensor, scores: Tensor, origins: Tensor | None, steps: Steps) -> Any:
        """RETURNS (Tensor | GenerateBeamDecoderOnlyOutput): What was asked for."""
        if not self.config.return_dict_in_generate:
            return ids
        return GenerateBeamDecoderOnlyOutput(
            sequences=ids,
            sequences_scores=scores if self.config.output_scores else None,
            beam_indices=origins,
            **self.records.fields(),
            past_key_values=self._past(steps),
        )

    def _past(self, steps: Steps) -> Any:
        if steps.cache is None or not self.config.return_legacy_cache:
            return steps.cache
        return tuple(steps.cache[layer] for layer in range(len(steps.cache)))


class Records:
    """What is kept of each step, as asked for; None for the rest."""

    def __init__(self, config: GenerationConfig) -> None:
        wanted = config.return_dict_in_generate
        self.scores: tuple | None = () if wanted and config.output_scores else None
        self.logits: tuple | None = () if wanted and config.output_logits else None
        self.attentions: tuple | None = () if wanted and config.output_attentions else None
        self.hidden_states: tuple | None = () if wanted and config.output_hidden_states else None

    def add(self, step: Step, scores: Tensor, logits: Tensor) -> None:
        """Keep what is wanted of a step."""
        if self.scores is not None:
            self.scores += (scores,)
        if self.logits is not None:
            self.logits += (logits,)
        if self.attentions is not None:
            self.attentions += (step.attentions,)
        if self.hidden_states is not None:
            self.hidden_states += (step.hidden_states,)

    def fields(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): By the names of the outputs."""
        return dict(vars(self))
