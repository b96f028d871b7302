"""Processors in Hugging Face's calling form, `(input_ids, scores)`, among those that are called with rows."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from ...errors import InputError
from ..processors.bias import ExponentialDecay, SequenceBias, Suppress
from ..processors.lengths import ForcedBos, ForcedEos, MinLength, MinNewTokens
from ..processors.prompt_pieces import NoPromptNGram, PromptBonus
from ..processors.repetition import BadWords, NoRepeatNGram, RepetitionPenalty
from ..processors.vocabulary import ValidNumbers
from ..rows import LogitsProcessor, Row

# A caller's processor of one of Hugging Face's classes takes the place of the one that its option would make.
REPLACED = {
    "SequenceBiasLogitsProcessor": SequenceBias,
    "EncoderRepetitionPenaltyLogitsProcessor": PromptBonus,
    "RepetitionPenaltyLogitsProcessor": RepetitionPenalty,
    "NoRepeatNGramLogitsProcessor": NoRepeatNGram,
    "EncoderNoRepeatNGramLogitsProcessor": NoPromptNGram,
    "NoBadWordsLogitsProcessor": BadWords,
    "MinLengthLogitsProcessor": MinLength,
    "MinNewTokensLengthLogitsProcessor": MinNewTokens,
    "ForcedBOSTokenLogitsProcessor": ForcedBos,
    "ForcedEOSTokenLogitsProcessor": ForcedEos,
    "InfNanRemoveLogitsProcessor": ValidNumbers,
    "ExponentialDecayLengthPenalty": ExponentialDecay,
    "SuppressTokensLogitsProcessor": Suppress,
}


@dataclass
class Rectangle:
    """What the rows are at this step, for those who want them padded.

    ids (Tensor): Prompts and what was added. Shape (rows, length).
    more (dict[str, Any]): What group beam search tells its processors.
    """

    ids: Tensor
    more: dict[str, Any] = field(default_factory=dict)


def takes_rows(processor: Any) -> bool:
    """RETURNS (bool): Whether a processor is called with rows: its first argument has that name."""
    return next(iter(_arguments(processor)), "") == "rows"


def as_list(given: Any) -> list[Any]:
    """RETURNS (list): Processors or criteria that were given as a list, alone, or not at all."""
    if given is None:
        return []
    return list(given) if isinstance(given, Iterable) else [given]


class FromInputIds:
    """Calls a processor of Hugging Face's form.

    processor (Callable): Called with ids of shape (rows, length) and scores of shape (rows, vocab_size).
    rectangle (Rectangle): Holds the ids.
    """

    def __init__(self, processor: Callable[..., Tensor], rectangle: Rectangle) -> None:
        self.processor, self.rectangle = processor, rectangle
        self.replaces = REPLACED.get(type(processor).__name__)
        self._more = [
            name for name in _arguments(processor)[2:] if name in ("current_tokens", "beam_group_idx")
        ]

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """See LogitsProcessor."""
        more = {name: self.rectangle.more[name] for name in self._more if name in self.rectangle.more}
        return self.processor(self.rectangle.ids, scores, **more)


class PrefixAllowed:
    """Allows what a function says, prompt by prompt.

    allowed (Callable[[int, Tensor], list[int]]): Called with a prompt's number and a row's ids.
    rectangle (Rectangle): Holds the ids.
    """

    def __init__(self, allowed: Callable[[int, Tensor], list[int]], rectangle: Rectangle) -> None:
        self.allowed, self.rectangle = allowed, rectangle

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """See LogitsProcessor.

        RAISES (InputError): Nothing is allowed.
        """
        mask = torch.full_like(scores, -torch.inf)
        for place, (row, ids) in enumerate(zip(rows, self.rectangle.ids, strict=True)):
            pieces = list(self.allowed(row.number, ids))
            if not pieces:
                raise InputError(
                    f"Expected prefix_allowed_tokens_fn to return pieces, got none for prompt {row.number} after "
                    f"{len(row.generated)} added pieces. To end a text, return its eos_token_id."
                )
            mask[place, pieces] = 0.0
        return scores + mask


def in_rows(processors: Sequence[Any], rectangle: Rectangle) -> list[LogitsProcessor]:
    """RETURNS (list[LogitsProcessor]): The processors, all to be called with rows."""
    return [p if takes_rows(p) else FromInputIds(p, rectangle) for p in processors]


def _arguments(processor: Any) -> list[str]:
    try:
        return list(signature(processor).parameters)
    except (TypeError, ValueError):  # written in C
        return []
