"""The language model with its ways to generate as methods."""

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ..bloom.heads import BloomLanguageModel
from ..checkpoint.directory import Checkpoint
from ..checkpoint.files import GENERATION_FILE
from ..errors import BloomWarning, InputError
from ..files import replacing_together, write_text
from ..published import N_PIECES, VOCAB_SIZE
from ..tokenizer import BloomTokenizerFast
from .arguments import (
    Callbacks,
    Inputs,
    as_config,
    expect_supported,
    read_inputs,
    resolve_options,
    split_arguments,
    with_lengths,
)
from .config import GenerationConfig
from .drafting import AssistantDrafts, Drafter
from .generator import GeneratedPieces, generate_stream
from .healing import healed
from .padded.calling_forms import as_list
from .padded.search import needs_rectangle, search
from .piece_bytes import PieceBytes, TextStream
from .rows import LogitsProcessor
from .stopping import Stopping
from .transition_scores import transition_scores

_piece_bytes: WeakKeyDictionary[BloomTokenizerFast, PieceBytes] = WeakKeyDictionary()


def piece_bytes(tokenizer: BloomTokenizerFast) -> PieceBytes:
    """RETURNS (PieceBytes): The bytes of a tokenizer's pieces, made once."""
    if tokenizer not in _piece_bytes:
        _piece_bytes[tokenizer] = PieceBytes(tokenizer)
    return _piece_bytes[tokenizer]


class BloomForCausalLM(BloomLanguageModel):
    """BLOOM with the language-modelling head, by default the embedding matrix itself.

    config (BloomConfig): The geometry.
    lm_head (LMHead): The head; another one may take its place.
    generation_config (GenerationConfig): The checkpoint's `generation_config.json`, or what the config says of control
        tokens. It can be changed and replaced; options of a call take precedence.
    """

    main_input_name = "input_ids"
    _generation_config: GenerationConfig | None = None

    @property
    def generation_config(self) -> GenerationConfig:
        """RETURNS (GenerationConfig): What holds where a call says nothing."""
        if self._generation_config is None:
            self._generation_config = GenerationConfig.from_model_config(self.config)
        return self._generation_config

    @generation_config.setter
    def generation_config(self, value: Any) -> None:
        self._generation_config = None if value is None else as_config(value)

    @property
    def own_generation_config(self) -> GenerationConfig | None:
        """RETURNS (GenerationConfig | None): None if it says no more than the config, and need not be saved."""
        own = self._generation_config
        return None if own is None or own == GenerationConfig.from_model_config(self.config) else own

    def clock(self) -> float:
        """RETURNS (float): Seconds, by which max_time is measured."""
        return time.monotonic()

    def _read_more(self, checkpoint: Checkpoint) -> None:
        if checkpoint.generation is not None:
            self.generation_config = GenerationConfig.from_checkpoint(checkpoint.generation)

    def _write_more(self, path: Path, create: Callable[[str], Path]) -> None:
        own = self.own_generation_config
        if own is not None:
            write_text(create(GENERATION_FILE), own.to_json_string())
        else:
            (path / GENERATION_FILE).unlink(missing_ok=True)  # of the model that was here

    def save_generation_config(self, path: Path) -> None:
        """Write what the model generates with to a directory that has a checkpoint, or remove another model's."""
        with replacing_together(path) as create:
            self._write_more(path, create)

    @torch.no_grad()
    def generate(
        self,
        inputs: Tensor | None = None,
        generation_config: Any = None,
        logits_processor: Any = None,
        stopping_criteria: Any = None,
        prefix_allowed_tokens_fn: Callable[[int, Tensor], list[int]] | None = None,
        synced_gpus: bool | None = None,
        assistant_model: BloomLanguageModel | None = None,
        streamer: Any = None,
        negative_prompt_ids: Tensor | None = None,
        negative_prompt_attention_mask: Tensor | None = None,
        use_model_defaults: bool | None = None,
        custom_generate: Any = None,
        *,
        tokenizer: Any = None,
        assistant_tokenizer: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Continue the rows of a batch.

        inputs (Tensor | None): Ids, also as input_ids=...; by default a bos_token_id. Shape (batch, length).
        generation_config (GenerationConfig | Tensor | None): Also one of transformers; the model's own holds where it
            is as by default. A tensor in this place is the attention_mask.
        logits_processor (list | None): Constraints and other changes of the scores. They are called with
            `(input_ids, scores)`, or with rows if that is the name of their first argument; see LogitsProcessor.
        stopping_criteria (list | None): More ends: called with `(input_ids, scores)`, return whether each row ends.
        prefix_allowed_tokens_fn (Callable | None): Called with a prompt's number and a row's ids; returns the pieces
            that may follow.
        assistant_model (BloomForCausalLM | None): A smaller model that drafts; it changes no piece.
        streamer (Any): Its `put` gets the prompts and then each step's pieces; its `end` is called in the end.
        negative_prompt_ids, negative_prompt_attention_mask (Tensor | None): For guidance_scale. Shape (batch, length).
        use_model_defaults (bool | None): False to take nothing but control tokens from the model's generation_config.
        tokenizer (BloomTokenizerFast | None): Limits generation to its pieces; required for stop strings.
        kwargs: Fields of GenerationConfig, for example max_new_tokens=50, do_sample=True, top_p=0.9; inputs of the
            model: attention_mask (1 for pieces, 0 for padding on either side; by default, ids equal to pad_token_id are
            padding, unless they also end sequences), inputs_embeds, past_key_values of an earlier call.
        RETURNS (Tensor | ModelOutput): The given rows, followed by what was generated, padded with pad_token_id. A
            sequence that constraints do not allow is all padding. Shape (batch * num_return_sequences, length +
            longest). With return_dict_in_generate, a GenerateDecoderOnlyOutput or GenerateBeamDecoderOnlyOutput.
        RAISES (InputError, ConfigError): Shapes that do not fit, an empty row, options that are unknown.
        """
        if isinstance(generation_config, Tensor):
            kwargs["attention_mask"], generation_config = generation_config, None
        options, given = split_arguments(kwargs)
        config = resolve_options(self, generation_config, options, use_model_defaults=use_model_defaults)
        expect_supported(config, synced_gpus=synced_gpus, custom_generate=custom_generate)
        read = read_inputs(self, inputs, given, config)
        if config.token_healing:
            read = healed(self, read, tokenizer, config)
        config = with_lengths(config, read)
        callbacks = Callbacks(
            as_list(logits_processor),
            as_list(stopping_criteria),
            prefix_allowed_tokens_fn,
            streamer,
            negative_prompt_ids,
            negative_prompt_attention_mask,
        )
        if not needs_rectangle(self, read, config, callbacks):
            return self._generate_rows(read, config, callbacks.processors, tokenizer, assistant_model)
        vocabulary, stopping = self._bounds(config, tokenizer)
        return search(self, read, config, callbacks, vocabulary=vocabulary, stopping=stopping)

    def compute_transition_scores(
        self,
        sequences: Tensor,
        scores: Sequence[Tensor],
        beam_indices: Tensor | None = None,
        normalize_logits: bool = False,
    ) -> Tensor:
        """Scores of the pieces that were generated, out of what `generate` returns.

        sequences (Tensor): Shape (rows, length).
        scores (Sequence[Tensor]): Of each step. Shape (rows or beams, vocab_size).
        beam_indices (Tensor | None): Of beams. Shape (rows, steps).
        normalize_logits (bool): Make log-probabilities of the scores.
        RETURNS (Tensor): Shape (rows, steps).
        """
        return transition_scores(sequences, scores, beam_indices, normalize_logits)

    def _generate_rows(
        self,
        inputs: Inputs,
        config: GenerationConfig,
        processors: Sequence[LogitsProcessor],
        tokenizer: Any,
        assistant: BloomLanguageModel | None,
    ) -> Tensor:
        """RETURNS (Tensor): As `generate`, each row by itself."""
        steps = self._steps(inputs.prompts, config, processors, tokenizer, assistant)
        n = config.num_return_sequences
        generated: list[list[int]] = [[] for _ in range(len(inputs.ids) * n)]
        for step in steps:
            generated[step.prompt * n + step.sequence] += step.pieces
        fill = next((i for i in (config.pad_token_id, *config.eos_token_ids) if i is not None), 0)
        longest = max(map(len, generated), default=0)
        added = torch.tensor(
            [row + [fill] * (longest - len(row)) for row in generated], dtype=inputs.ids.dtype
        )
        return torch.cat((inputs.ids.repeat_interleave(n, dim=0), added.to(inputs.ids.device)), dim=1)

    def generate_stream(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        generation_config: Any = None,
        logits_processor: Any = None,
        tokenizer: BloomTokenizerFast | None = None,
        **options: Any,
    ) -> Iterator[GeneratedPieces]:
        """Continue prompts piece by piece. Options are checked immediately, prompts at the first step.

        prompts (Sequence[Sequence[int]]): Ids of each, without padding, of any lengths.
        tokenizer (BloomTokenizerFast | None): Adds to each step its text, without control tokens.
        Others: As for `generate`.
        YIELDS (GeneratedPieces): What each step adds to each sequence.
        """
        split_arguments(options)
        config = resolve_options(self, generation_config, options, use_model_defaults=False)
        processors = as_list(logits_processor)
        if needs_rectangle(self, Inputs(torch.empty(0, 0), torch.empty(0, 0)), config, Callbacks(processors)):
            raise InputError(
                "Expected options that work row by row in generate_stream. For others, and for processors that are "
                "called with input_ids, call generate with a streamer."
            )
        steps = self._steps(prompts, config, processors, tokenizer)
        return steps if tokenizer is None else _with_text(steps, piece_bytes(tokenizer))

    def _bounds(self, config: GenerationConfig, tokenizer: Any) -> tuple[int, Stopping]:
        """RETURNS (tuple[int, Stopping]): Number of pieces that may be generated, and where rows end."""
        rows = self.config.vocab_size
        vocabulary = N_PIECES if rows == VOCAB_SIZE else rows  # the published embedding has dead rows
        vocabulary = vocabulary if tokenizer is None else min(len(tokenizer), rows)
        pieces = piece_bytes(tokenizer) if tokenizer is not None and config.stop_texts else None
        return vocabulary, Stopping(config, pieces=pieces, clock=self.clock)

    def _steps(
        self,
        prompts: Sequence[Sequence[int]],
        config: GenerationConfig,
        processors: Sequence[LogitsProcessor],
        tokenizer: Any,
        assistant: BloomLanguageModel | None = None,
    ) -> Iterator[GeneratedPieces]:
        vocabulary, stopping = self._bounds(config, tokenizer)
        return generate_stream(
            self,
            prompts,
            config,
            vocabulary=vocabulary,
            processors=processors,
            stopping=stopping,
            drafter=None if assistant is None else self._drafter(assistant, config),
        )

    def _drafter(
        self, assistant: BloomLanguageModel, config: GenerationConfig
    ) -> Callable[[], Drafter] | None:
        """RETURNS (Callable[[], Drafter] | None): What the assistant drafts for one row; None if it cannot."""
        if not isinstance(assistant, BloomLanguageModel):
            raise InputError(
                f"Expected assistant_model as a BloomForCausalLM of this package, got {type(assistant).__name__}."
            )
        if assistant.config.vocab_size != self.config.vocab_size:
            warnings.warn(
                f"An assistant with {assistant.config.vocab_size} pieces cannot draft for a model with "
                f"{self.config.vocab_size}: nothing is drafted, and the same is generated.",
                BloomWarning,
                stacklevel=4,
            )
            return None
        own = getattr(assistant, "generation_config", config)
        return partial(AssistantDrafts, assistant, own, config.eos_token_ids)


def _with_text(steps: Iterator[GeneratedPieces], pieces: PieceBytes) -> Iterator[GeneratedPieces]:
    streams: dict[tuple[int, int], TextStream] = {}
    for step in steps:
        key = (step.prompt, step.sequence)
        stream = streams.setdefault(key, TextStream(pieces, skip_special_tokens=True))
        text = "".join(map(stream.add, step.pieces))
        if step.finished is not None:
            text += stream.finish()
        yield replace(step, text=text)
