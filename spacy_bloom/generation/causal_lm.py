"""The language model with its ways to generate as methods."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ..bloom.heads import BloomLanguageModel
from ..checkpoint.directory import Checkpoint
from ..checkpoint.files import GENERATION_FILE
from ..errors import InputError
from ..files import replacing_together, write_text
from ..published import N_PIECES, VOCAB_SIZE
from ..tokenizer import BloomTokenizerFast
from .config import GenerationConfig
from .generator import GeneratedPieces, generate_stream
from .piece_bytes import PieceBytes, TextStream
from .rows import LogitsProcessor
from .stopping import Stopping

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
    generation_config (GenerationConfig | None): The checkpoint's `generation_config.json`; options of a call take
        precedence.
    """

    generation_config: GenerationConfig | None = None

    def _read_more(self, checkpoint: Checkpoint) -> None:
        if checkpoint.generation is not None:
            self.generation_config = GenerationConfig.from_dict(checkpoint.generation)

    def _write_more(self, path: Path, create: Callable[[str], Path]) -> None:
        if self.generation_config is not None:
            write_text(create(GENERATION_FILE), self.generation_config.to_json_string())
        else:
            (path / GENERATION_FILE).unlink(missing_ok=True)  # of the model that was here

    def save_generation_config(self, path: Path) -> None:
        """Write what the model generates with to a directory that has a checkpoint, or remove another model's."""
        with replacing_together(path) as create:
            self._write_more(path, create)

    def generate(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        generation_config: GenerationConfig | None = None,
        logits_processor: Sequence[LogitsProcessor] = (),
        tokenizer: BloomTokenizerFast | None = None,
        **options: Any,
    ) -> Tensor:
        """Continue the rows of a batch.

        input_ids (Tensor): Shape (batch, length).
        attention_mask (Tensor | None): 1 for pieces, 0 for padding on either side. By default, ids equal to
            pad_token_id are padding, unless they also end sequences. Shape (batch, length).
        generation_config (GenerationConfig | None): Replaces the model's own.
        logits_processor (Sequence[LogitsProcessor]): Constraints and other changes of the scores.
        tokenizer (BloomTokenizerFast | None): Limits generation to its pieces; required for stop strings.
        **options: Fields of GenerationConfig, for example max_new_tokens=50, do_sample=True, top_p=0.9.
        RETURNS (Tensor): The given rows, followed by what was generated, padded with pad_token_id. A sequence that
            constraints do not allow is all padding. Shape (batch * num_return_sequences, length + longest).
        RAISES (InputError, ConfigError): Shapes that do not fit, an empty row, options that are unknown.
        """
        config = self._options(generation_config, options)
        prompts = _unpadded(input_ids, attention_mask, config)
        steps = self._steps(prompts, config, logits_processor, tokenizer)
        n = config.num_return_sequences
        generated: list[list[int]] = [[] for _ in range(len(prompts) * n)]
        for step in steps:
            generated[step.prompt * n + step.sequence] += step.pieces
        fill = next((i for i in (config.pad_token_id, *config.eos_token_ids) if i is not None), 0)
        longest = max(map(len, generated), default=0)
        added = torch.tensor(
            [row + [fill] * (longest - len(row)) for row in generated], dtype=input_ids.dtype
        )
        return torch.cat((input_ids.repeat_interleave(n, dim=0), added.to(input_ids.device)), dim=1)

    def generate_stream(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        generation_config: GenerationConfig | None = None,
        logits_processor: Sequence[LogitsProcessor] = (),
        tokenizer: BloomTokenizerFast | None = None,
        **options: Any,
    ) -> Iterator[GeneratedPieces]:
        """Continue prompts piece by piece. Options are checked immediately, prompts at the first step.

        prompts (Sequence[Sequence[int]]): Ids of each, without padding, of any lengths.
        tokenizer (BloomTokenizerFast | None): Adds to each step its text, without control tokens.
        Others: As for `generate`.
        YIELDS (GeneratedPieces): What each step adds to each sequence.
        """
        config = self._options(generation_config, options)
        steps = self._steps(prompts, config, logits_processor, tokenizer)
        return steps if tokenizer is None else _with_text(steps, piece_bytes(tokenizer))

    def _options(self, given: GenerationConfig | None, options: dict[str, Any]) -> GenerationConfig:
        config = given or self.generation_config or GenerationConfig()
        for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
            if getattr(config, name) is None and options.get(name) is None:
                options = {**options, name: getattr(self.config, name)}
        return config.replace(**options)

    def _steps(
        self,
        prompts: Sequence[Sequence[int]],
        config: GenerationConfig,
        processors: Sequence[LogitsProcessor],
        tokenizer: BloomTokenizerFast | None,
    ) -> Iterator[GeneratedPieces]:
        rows = self.config.vocab_size
        vocabulary = N_PIECES if rows == VOCAB_SIZE else rows  # the published embedding has dead rows
        vocabulary = vocabulary if tokenizer is None else min(len(tokenizer), rows)
        pieces = piece_bytes(tokenizer) if tokenizer is not None and config.stop_texts else None
        stopping = Stopping(config, pieces=pieces)
        return generate_stream(
            self, prompts, config, vocabulary=vocabulary, processors=processors, stopping=stopping
        )


def _unpadded(ids: Tensor, mask: Tensor | None, config: GenerationConfig) -> list[list[int]]:
    """RETURNS (list[list[int]]): The real pieces of each row."""
    if ids.dim() != 2 or (mask is not None and mask.shape != ids.shape):
        raise InputError(
            f"Expected input_ids, and attention_mask if given, of one shape (batch, length); got {tuple(ids.shape)}"
            + ("." if mask is None else f" and {tuple(mask.shape)}.")
        )
    pad = config.pad_token_id
    if mask is None and pad is not None and pad not in config.eos_token_ids:
        mask = ids != pad
    real = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask != 0
    return [row[keep].tolist() for row, keep in zip(ids.cpu(), real.cpu(), strict=True)]


def _with_text(steps: Iterator[GeneratedPieces], pieces: PieceBytes) -> Iterator[GeneratedPieces]:
    streams: dict[tuple[int, int], TextStream] = {}
    for step in steps:
        key = (step.prompt, step.sequence)
        stream = streams.setdefault(key, TextStream(pieces, skip_special_tokens=True))
        text = "".join(map(stream.add, step.pieces))
        if step.finished is not None:
            text += stream.finish()
        yield replace(step, text=text)
