"""Any number of prompts through a language model, as many together as a budget allows."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..errors import ConfigError, InputError
from ..tokenizer import BloomTokenizerFast
from .causal_lm import BloomForCausalLM
from .config import GenerationConfig
from .generator import GeneratedPieces
from .processors.per_prompt import PerPrompt
from .rows import LogitsProcessor
from .running import affordable_pieces


def encode_prompts(tokenizer: BloomTokenizerFast, texts: Sequence[str]) -> list[list[int]]:
    """RETURNS (list[list[int]]): The ids of each text; what looks like a control token is ordinary text."""
    return [encoding.ids for encoding in tokenizer.encode_plain(texts)]


def generate_batched(
    model: BloomForCausalLM,
    tokenizer: BloomTokenizerFast,
    prompts: Sequence[Sequence[int]],
    config: GenerationConfig,
    *,
    max_batch_items: int | None,
    processors: Sequence[LogitsProcessor] = (),
) -> list[list[GeneratedPieces]]:
    """Continue prompts; those of similar length run together.

    model (BloomForCausalLM): In evaluation mode.
    tokenizer (BloomTokenizerFast): The model's.
    prompts (Sequence[Sequence[int]]): Ids of each. An empty prompt becomes `</s>`, the token between the texts that
        BLOOM was trained on.
    config (GenerationConfig): The options. max_time counts from the start of each batch.
    max_batch_items (int | None): Maximum number of pieces whose keys and values are in memory at once, padding and
        what may be generated included; a longer prompt is continued alone. None for what `affordable_pieces` says.
    processors (Sequence[LogitsProcessor]): One for each prompt, its constraint for instance; or none.
    RETURNS (list[list[GeneratedPieces]]): The complete sequences of each prompt, in order: num_return_sequences, or
        fewer beams if the constraints leave fewer.
    RAISES (InputError): A prompt as long as max_length, ids outside the vocabulary, or not one seed per prompt.
    RAISES (ConfigError): A budget below 1.
    """
    rows = [list(prompt) or [tokenizer.eos_token_id] for prompt in prompts]
    _expect_seeds(config, len(rows))
    budget = affordable_pieces(model) if max_batch_items is None else max_batch_items
    found: list[list[GeneratedPieces]] = [[] for _ in rows]
    for batch in batch_prompts([len(row) for row in rows], config, budget):
        steps = model.generate_stream(
            [rows[p] for p in batch],
            generation_config=_with_seeds_of(config, batch),
            logits_processor=[PerPrompt([processors[p] for p in batch])] if processors else [],
            tokenizer=tokenizer,
        )
        for parts in _by_sequence(steps):
            p = batch[parts[0].prompt]
            found[p].append(_joined(parts, p))
    return found


def batch_prompts(lengths: Sequence[int], config: GenerationConfig, max_items: int) -> Iterator[list[int]]:
    """Sort prompts by length and group them under a budget.

    lengths (Sequence[int]): Pieces of each prompt.
    config (GenerationConfig): Number of sequences per prompt, and how many pieces may be added.
    max_items (int): Maximum number of pieces in a batch; a longer prompt is a batch of its own.
    YIELDS (list[int]): The numbers of prompts, longest first.
    RAISES (InputError): A prompt is as long as max_length.
    RAISES (ConfigError): A budget below 1.
    """
    if max_items < 1:
        raise ConfigError(f"Expected a budget of 1 piece or more for a batch of prompts, got {max_items}.")
    order = sorted(range(len(lengths)), key=lambda p: -lengths[p])
    while order:
        longest = lengths[order[0]]
        pieces = (longest + config.max_added(longest)) * max(config.num_beams, config.num_return_sequences)
        size = max(1, max_items // pieces)
        yield order[:size]
        order = order[size:]


def _by_sequence(steps: Iterator[GeneratedPieces]) -> list[list[GeneratedPieces]]:
    """RETURNS (list[list[GeneratedPieces]]): The steps of each sequence, in the order of prompts and sequences."""
    parts: dict[tuple[int, int], list[GeneratedPieces]] = {}
    for step in steps:
        parts.setdefault((step.prompt, step.sequence), []).append(step)
    return [parts[key] for key in sorted(parts)]


def _joined(steps: Sequence[GeneratedPieces], prompt: int) -> GeneratedPieces:
    """RETURNS (GeneratedPieces): All steps of a sequence together, under the prompt's number."""
    pieces = tuple(piece for step in steps for piece in step.pieces)
    return replace(steps[-1], prompt=prompt, pieces=pieces, text="".join(step.text or "" for step in steps))


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
