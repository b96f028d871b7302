"""Any number of prompts through a language model, as many at once as a budget allows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..errors import ConfigError, InputError
from ..tokenizer import BloomTokenizerFast
from .config import GenerationConfig
from .generator import GeneratedPieces
from .mixin import GenerationMixin
from .rows import LogitsProcessor
from .running import affordable_pieces


@dataclass(frozen=True)
class GeneratedSequence:
    """What was added to a prompt, complete.

    pieces (tuple[int, ...]): The new pieces, with the control token that ends them.
    text (str): Their text, without control tokens.
    finished (str): Why it ends: "eos", "stop_string", "length" or "time".
    score (float | None): Of a beam: its log-probability divided by its length to the power of length_penalty.
    """

    pieces: tuple[int, ...]
    text: str
    finished: str
    score: float | None = None

    def text_before(self, stops: Sequence[str]) -> str:
        """RETURNS (str): The text up to the stop string that ended it, if one did."""
        found = [self.text.find(stop) for stop in stops if stop in self.text]
        return self.text[: min(found)] if found and self.finished == "stop_string" else self.text


def encode_prompts(tokenizer: BloomTokenizerFast, texts: Sequence[str]) -> list[list[int]]:
    """RETURNS (list[list[int]]): The ids of each text; what looks like a control token is ordinary text."""
    return [encoding.ids for encoding in tokenizer.encode_plain(texts)]


def generate_batched(
    model: GenerationMixin,
    tokenizer: BloomTokenizerFast,
    prompts: Sequence[Sequence[int]],
    config: GenerationConfig,
    *,
    max_batch_items: int | None,
    processors: Sequence[LogitsProcessor] = (),
) -> list[list[GeneratedSequence]]:
    """Continue prompts, those of similar length together.

    model (GenerationMixin): In evaluation mode.
    tokenizer (BloomTokenizerFast): The model's.
    prompts (Sequence[Sequence[int]]): Ids of each, any number of them. One without pieces begins with `</s>`,
        the token between the texts that BLOOM was trained on.
    config (GenerationConfig): The options. max_time counts from the start of each batch.
    max_batch_items (int | None): Most pieces of which keys and values are in memory at once, padding and what may
        be generated included; a longer prompt is computed alone. None for as many as `affordable_pieces` says.
    processors (Sequence[LogitsProcessor]): Constraints and other changes of the scores.
    RETURNS (list[list[GeneratedSequence]]): The sequences of each prompt, in the order of the prompts: as many as
        num_return_sequences, or fewer beams if the constraints leave fewer.
    RAISES (InputError): A prompt as long as max_length, ids outside the vocabulary, or not one seed per prompt.
    RAISES (ConfigError): A budget below 1.
    """
    rows = [list(prompt) or [tokenizer.eos_token_id] for prompt in prompts]
    _expect_seeds(config, len(rows))
    budget = affordable_pieces(model) if max_batch_items is None else max_batch_items
    found: list[list[GeneratedSequence]] = [[] for _ in rows]
    for batch in batch_prompts([len(row) for row in rows], config, budget):
        steps = model.generate_stream(
            [rows[p] for p in batch],
            generation_config=_with_seeds_of(config, batch),
            logits_processor=processors,
            tokenizer=tokenizer,
        )
        for p, sequences in zip(batch, _collect(steps, len(batch)), strict=True):
            found[p] = sequences
    return found


def batch_prompts(lengths: Sequence[int], config: GenerationConfig, max_pieces: int) -> Iterator[list[int]]:
    """Sort prompts by length, and group them under a budget.

    lengths (Sequence[int]): Pieces of each prompt.
    config (GenerationConfig): Says how many sequences are followed for each, and how many pieces are added.
    max_pieces (int): Most pieces of a batch; a longer prompt is a batch of its own.
    YIELDS (list[int]): The numbers of prompts, longest first.
    RAISES (InputError): A prompt is as long as max_length.
    RAISES (ConfigError): A budget below 1.
    """
    if max_pieces < 1:
        raise ConfigError(f"Expected a budget of 1 piece or more for a batch of prompts, got {max_pieces}.")
    order = sorted(range(len(lengths)), key=lambda p: -lengths[p])
    while order:
        longest = lengths[order[0]]
        pieces = (longest + config.max_added(longest)) * max(config.num_beams, config.num_return_sequences)
        size = max(1, max_pieces // pieces)
        yield order[:size]
        order = order[size:]


def _collect(steps: Iterator[GeneratedPieces], prompts: int) -> list[list[GeneratedSequence]]:
    """RETURNS (list[list[GeneratedSequence]]): The sequences of each prompt, in order."""
    parts: dict[tuple[int, int], list[GeneratedPieces]] = {}
    for step in steps:
        parts.setdefault((step.prompt, step.sequence), []).append(step)
    found: list[list[GeneratedSequence]] = [[] for _ in range(prompts)]
    for prompt, sequence in sorted(parts):
        found[prompt].append(_joined(parts[prompt, sequence]))
    return found


def _joined(steps: Sequence[GeneratedPieces]) -> GeneratedSequence:
    pieces = tuple(piece for step in steps for piece in step.pieces)
    text = "".join(step.text or "" for step in steps)
    return GeneratedSequence(pieces, text, steps[-1].finished or "", steps[-1].score)


def _expect_seeds(config: GenerationConfig, prompts: int) -> None:
    if isinstance(config.seed, tuple) and len(config.seed) != prompts:
        raise InputError(
            f"Expected one seed, or one for each of {prompts} prompts, got {len(config.seed)} seeds."
        )


def _with_seeds_of(config: GenerationConfig, batch: Sequence[int]) -> GenerationConfig:
    """RETURNS (GenerationConfig): For these prompts, each with its own seed where there is one per prompt."""
    if not isinstance(config.seed, tuple):
        return config
    return config.replace(seed=tuple(config.seed[p] for p in batch))
