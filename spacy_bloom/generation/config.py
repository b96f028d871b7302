"""Options of generation under Hugging Face's names, checked once, never changed."""

import json
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from ..errors import BloomWarning, ConfigError, InputError
from ..files import read_json, to_json
from ..settings import FLAG, PieceId, any_of, check_settings, integer, number, one_of, shown
from .options import (
    NOT_FOLLOWED,
    Count,
    Factor,
    IdLists,
    Ids,
    Length,
    Probability,
    Rows,
    Seeds,
    Stops,
    Temperature,
)

MAX_NEW_TOKENS = 20  # where neither max_new_tokens nor max_length is given


@dataclass(frozen=True, init=False)
class GenerationConfig:
    """Options of generation. Names and meanings are Hugging Face's, except where noted.

    Lengths count the pieces of each row, without padding, which Hugging Face counts as part of the prompt. None stands
    for the default in every field. Lists are kept as tuples.

    max_new_tokens (int | None): Maximum number of pieces to add; 20 without max_length. Takes precedence.
    min_new_tokens (int): Minimum number of pieces before the end. Takes precedence over min_length unless 0.
    max_length, min_length (int | None, int): The same, including the prompt.
    do_sample (bool): Sample pieces by their probability instead of taking the best one. The options from temperature
        to typical_p only affect sampling.
    num_beams (int): Number of beams; 1 for no beam search.
    early_stopping (bool | str): End beam search when there are num_beams finished sequences (True), when a better one
        is unlikely (False), or when a better one is impossible ("never").
    length_penalty (float): Exponent of the length by which a beam's score is divided; above 0 favours longer ones.
    num_return_sequences (int): Sequences per prompt; more than one requires do_sample or as many beams.
    temperature (float): Divides the scores.
    top_k (int): Sample from the k best pieces; 0 for all. If a file does not set it, Hugging Face uses 50, and all
        pieces are used here.
    top_p (float): Sample from the best pieces that together have this probability; 1 for all.
    min_p (float | None): Minimum probability of a piece, relative to that of the best one.
    typical_p (float): Sample from the pieces closest to the expected surprisal that together have this probability;
        1 for all.
    repetition_penalty (float): Divides the scores of pieces that occurred before, or multiplies negative ones; 1 for
        none.
    no_repeat_ngram_size (int): Sequences of this many pieces occur once, prompt included; 0 for any number of times.
    bad_words_ids (Sequence[Sequence[int]] | None): Sequences of pieces that must not be generated.
    forced_bos_token_id (int | None): The first piece to generate, after a prompt of any length. (Hugging Face forces
        it after prompts of one piece only, as its encoder-decoder models have.)
    forced_eos_token_id (int | Sequence[int] | None): The last piece that the length allows; if several are given, the
        best one, or one sampled uniformly.
    bos_token_id, pad_token_id (int | None), eos_token_id (int | Sequence[int] | None): Ids of control tokens; a
        sequence ends at any of eos_token_id.
    stop_strings (str | Sequence[str] | None): Texts that end a sequence.
    max_time (float | None): Seconds after which no further piece is started.
    seed (int | Sequence[int] | None): Seed for sampling: one for all prompts, so that a sequence depends only on its
        prompt, or one per prompt. None takes new seeds from torch's global generator every time.
    prompt_lookup_num_tokens (int | None): Number of pieces to draft at once from the prompt; None for no drafts.
    max_matching_ngram_size (int): Longest sequence of pieces to look up for a draft.
    extra (Mapping[str, Any]): All other fields of a `generation_config.json`.
    RAISES (ConfigError): An option is unknown, ill-typed or out of range, or options conflict.
    SOURCE: transformers' GenerationConfig.
    """

    max_new_tokens: Length | None = MAX_NEW_TOKENS
    min_new_tokens: Count = 0
    max_length: Length | None = None
    min_length: Count = 0
    do_sample: bool = False
    num_beams: Rows = 1
    early_stopping: Annotated[bool | str, any_of(FLAG, one_of("never"))] = False
    length_penalty: Annotated[float, number(-32, 32)] = 1.0
    num_return_sequences: Rows = 1
    temperature: Temperature = 1.0
    top_k: Count = 0
    top_p: Probability = 1.0
    min_p: Probability | None = None
    typical_p: Annotated[float, number(1e-6, 1)] = 1.0
    repetition_penalty: Factor = 1.0
    no_repeat_ngram_size: Count = 0
    bad_words_ids: IdLists = None
    forced_bos_token_id: PieceId | None = None
    forced_eos_token_id: Ids = None
    bos_token_id: PieceId | None = None
    eos_token_id: Ids = None
    pad_token_id: PieceId | None = None
    stop_strings: Stops = None
    max_time: Annotated[float, number(0, 1e9)] | None = None
    seed: Seeds = None
    prompt_lookup_num_tokens: Length | None = None
    max_matching_ngram_size: Annotated[int, integer(1, 16)] = 2
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __init__(self, /, **values: Any) -> None:
        _expect_known(values)
        extra = values.pop("extra", None)
        if not isinstance(extra, Mapping | None):
            raise ConfigError(f"Generation config: expected extra to be a mapping, got {shown(extra)}.")
        given = {name: _frozen(value) for name, value in values.items() if value is not None}
        if "max_length" in given:
            given.setdefault("max_new_tokens", None)  # else our own default would take precedence
        for name in OPTIONS:
            object.__setattr__(self, name, given.get(name, getattr(type(self), name)))
        object.__setattr__(self, "extra", dict(extra or {}))
        check_settings(self, "Generation config")
        _check_together(self)

    def __hash__(self) -> int:
        return hash(json.dumps(self.to_dict(), sort_keys=True, default=str))

    @property
    def eos_token_ids(self) -> tuple[int, ...]:
        """RETURNS (tuple[int, ...]): The ids that end a sequence."""
        return _as_tuple(self.eos_token_id)

    @property
    def forced_eos_token_ids(self) -> tuple[int, ...]:
        """RETURNS (tuple[int, ...]): The ids of which one is forced at the end."""
        return _as_tuple(self.forced_eos_token_id)

    @property
    def stop_texts(self) -> tuple[str, ...]:
        """RETURNS (tuple[str, ...]): The texts that end a sequence."""
        return _as_tuple(self.stop_strings)

    def max_added(self, prompt_length: int) -> int:
        """How many pieces may be added to a prompt.

        prompt_length (int): Number of pieces in the prompt.
        RETURNS (int): At least 1.
        RAISES (InputError): The prompt is as long as max_length already, as in Hugging Face.
        """
        if self.max_new_tokens is not None or self.max_length is None:
            return self.max_new_tokens or MAX_NEW_TOKENS
        if prompt_length >= self.max_length:
            raise InputError(
                f"Expected a prompt of fewer than max_length={self.max_length} pieces, got {prompt_length}: "
                "max_length counts the prompt. Raise it, or set max_new_tokens instead."
            )
        return self.max_length - prompt_length

    def replace(self, **changes: Any) -> "GenerationConfig":
        """A checked copy with some options changed. A max_length alone replaces max_new_tokens, which would otherwise
        take precedence.

        RETURNS (GenerationConfig): The new config.
        RAISES (ConfigError): As the constructor.
        """
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        if changes.get("max_length") is not None:
            own["max_new_tokens"] = None
        return GenerationConfig(**{**own, **changes})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "GenerationConfig":
        """Read the content of a `generation_config.json`. Fields that are not options here go to `extra`, with a
        warning for those that change what Hugging Face generates.

        RETURNS (GenerationConfig): The config.
        RAISES (ConfigError): As the constructor.
        """
        if not isinstance(values, Mapping):
            raise ConfigError(f"Expected the fields of a generation config, got {type(values).__name__}.")
        strange = [name for name in values if not isinstance(name, str)]
        if strange:
            raise ConfigError(
                f"Expected the names of a generation config's fields as text, got {shown(strange)}."
            )
        extra = {name: value for name, value in values.items() if name not in OPTIONS}
        ignored = [name for name, neutral in NOT_FOLLOWED.items() if extra.get(name) not in (None, neutral)]
        if ignored:
            warnings.warn(
                f"A generation config sets {', '.join(ignored)}, which Hugging Face supports and which has no "
                "effect here.",
                BloomWarning,
                stacklevel=2,
            )
        return cls(**{name: values[name] for name in OPTIONS if name in values}, extra=extra)

    @classmethod
    def from_json_file(cls, path: Path) -> "GenerationConfig":
        """RETURNS (GenerationConfig): The config in a `generation_config.json`.
        RAISES (ConfigError): The file is missing, not JSON, or not a valid config.
        """
        return cls.from_dict(read_json(path))

    def to_dict(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): The fields for a `generation_config.json` that Hugging Face reads as well."""
        own = {name: _thawed(getattr(self, name)) for name in OPTIONS}
        # In Hugging Face, min_new_tokens=0 would take precedence over min_length.
        own["min_new_tokens"] = own["min_new_tokens"] or None
        return {**self.extra, **{name: value for name, value in own.items() if value is not None}}

    def to_json_string(self) -> str:
        """RETURNS (str): `to_dict` as JSON with sorted keys, so that equal configs are equal bytes."""
        return to_json(self.to_dict())


OPTIONS = tuple(f.name for f in fields(GenerationConfig) if f.name != "extra")


def _expect_known(names: Iterable[str]) -> None:
    for name in names:
        if name in OPTIONS or name == "extra":
            continue
        near = get_close_matches(name, OPTIONS)
        told = f"Did you mean {' or '.join(near)}?" if near else f"The options are {', '.join(OPTIONS)}."
        raise ConfigError(f"Generation config: there is no option {shown(name)}. {told}")


def _frozen(value: Any) -> Any:
    """Lists as tuples, to the depth that options have."""
    if not isinstance(value, (list, tuple)):
        return value
    return tuple(tuple(part) if isinstance(part, (list, tuple)) else part for part in value)


def _thawed(value: Any) -> Any:
    return [_thawed(part) for part in value] if isinstance(value, tuple) else value


def _as_tuple(value: Any) -> tuple:
    if value is None:
        return ()
    return value if isinstance(value, tuple) else (value,)


def _check_together(config: GenerationConfig) -> None:
    """Conflicts are refused here, not at the end of a run."""
    if config.num_return_sequences > 1 and config.num_beams == 1 and not config.do_sample:
        raise ConfigError(
            f"Generation config: expected num_return_sequences to be 1, got {config.num_return_sequences}: "
            "greedy decoding gives one sequence. Set do_sample=True, or num_beams."
        )
    if config.num_return_sequences > config.num_beams > 1:
        raise ConfigError(
            f"Generation config: expected num_return_sequences to be at most num_beams={config.num_beams}, "
            f"got {config.num_return_sequences}."
        )
    if config.num_beams > 1 and config.prompt_lookup_num_tokens is not None:
        raise ConfigError(
            "Generation config: expected prompt_lookup_num_tokens to be None in beam search, "
            f"got {config.prompt_lookup_num_tokens} with num_beams={config.num_beams}."
        )
    pairs = [("min_new_tokens", "max_new_tokens")]
    if config.max_new_tokens is None:
        # min_new_tokens counts without the prompt: as much of it as max_length, and any prompt is too long.
        pairs = [("min_new_tokens", "max_length"), ("min_length", "max_length")]
    for low, high in pairs:
        if getattr(config, low) > getattr(config, high):
            raise ConfigError(
                f"Generation config: expected {low} to be at most {high}={getattr(config, high)}, "
                f"got {getattr(config, low)}."
            )
