"""What is generated, and how: Hugging Face's options under their names, checked once, never changed."""

import json
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from ..errors import BloomWarning, ConfigError, InputError
from ..files import read_json, to_json
from ..settings import (
    FLAG,
    Check,
    PieceId,
    any_of,
    check_settings,
    integer,
    list_of,
    number,
    one_of,
    optional,
    shown,
)

MAX_NEW_TOKENS = 20  # where neither max_new_tokens nor max_length is given
MAX_LENGTH = 2**31 - 1
MAX_SEED = 2**64 - 1
MAX_ROWS = 2**12  # per prompt; more is a mistake, and is refused before memory is taken

# Scores and lengths stay finite within these limits.
Length = Annotated[int, integer(1, MAX_LENGTH)]
Count = Annotated[int, integer(0, MAX_LENGTH)]
Rows = Annotated[int, integer(1, MAX_ROWS)]
Probability = Annotated[float, number(0, 1)]
Factor = Annotated[float, number(1e-6, 1e6)]

PIECE = integer(0, 2**31 - 1)
SEED = integer(0, MAX_SEED)
STOP = Check("text that is not empty", lambda x: isinstance(x, str) and x != "")
TEMPERATURE = number(1e-6, 1e6)
TEMPERATURE = Check(f"{TEMPERATURE.expected}; for greedy decoding set do_sample=False", TEMPERATURE.accepts)


def _one_or_more(check: Check) -> Check:
    return optional(any_of(check, list_of(check, at_least=1)))


# Hugging Face's options that change what is generated and that are not followed here, each with the value that
# changes nothing; so does null.
NOT_FOLLOWED = {
    "num_beam_groups": 1,
    "diversity_penalty": 0,
    "epsilon_cutoff": 0,
    "eta_cutoff": 0,
    "encoder_repetition_penalty": 1,
    "encoder_no_repeat_ngram_size": 0,
    "guidance_scale": 1,
    "remove_invalid_values": False,
    "renormalize_logits": False,
    "token_healing": False,
    "penalty_alpha": 0,
    "begin_suppress_tokens": None,
    "constraints": None,
    "dola_layers": None,
    "exponential_decay_length_penalty": None,
    "force_words_ids": None,
    "sequence_bias": None,
    "suppress_tokens": None,
    "watermarking_config": None,
}


@dataclass(frozen=True, init=False)
class GenerationConfig:
    """Options of generation; names and meanings are Hugging Face's, and where they differ it is said here.

    Lengths count pieces, of each row by itself: padding, which Hugging Face counts as prompt, does not count.
    None stands for the default in every field. Lists are kept as tuples.

    max_new_tokens (int | None): Most pieces to add; 20 if max_length is not given either. Takes precedence.
    min_new_tokens (int): Pieces before the end may come. Takes precedence over min_length unless 0.
    max_length, min_length (int | None, int): The same, counting the prompt.
    do_sample (bool): Whether pieces are drawn by their probability; else the best is taken. The options from
        temperature to typical_p change drawing only.
    num_beams (int): Sequences that are followed at once; 1 for no beam search.
    early_stopping (bool | str): Beam search ends when there are num_beams finished sequences (True), when a
        better one is improbable (False), or when none can be better ("never").
    length_penalty (float): Exponent of the length that divides a beam's score; above 0 for longer ones.
    num_return_sequences (int): Sequences per prompt; more than one needs do_sample or as many beams.
    temperature (float): Divides the scores.
    top_k (int): Pieces to draw from, the best; 0 for all. Hugging Face's default is 50: a file that is silent
        about it means 50 there and all pieces here.
    top_p (float): The best pieces that together have this probability; 1 for all.
    min_p (float | None): Least probability of a piece, relative to the best one's.
    typical_p (float): The pieces closest to the expected surprise that together have this probability; 1 for all.
    repetition_penalty (float): Scores of pieces that were there before are divided by it, or multiplied if
        negative; 1 for none.
    no_repeat_ngram_size (int): Sequences of that many pieces, the prompt's included, come once; 0 for any number.
    bad_words_ids (Sequence[Sequence[int]] | None): Sequences of pieces that must not be generated.
    forced_bos_token_id (int | None): The first piece to be generated, after a prompt of any length. (Hugging Face
        forces it after prompts of one piece, as those of its encoder-decoder models, and ignores it otherwise.)
    forced_eos_token_id (int | Sequence[int] | None): The last piece that the length allows; of several, the best
        or one drawn evenly.
    bos_token_id, pad_token_id (int | None), eos_token_id (int | Sequence[int] | None): Ids of control tokens; a
        sequence ends at any of eos_token_id.
    stop_strings (str | Sequence[str] | None): Texts that end a sequence.
    max_time (float | None): Seconds after which no further piece is begun.
    seed (int | Sequence[int] | None): What is drawn: for every prompt the same seed, so that its sequences depend
        on the prompt alone; or one per prompt; or other ones every time, from torch's global generator.
    prompt_lookup_num_tokens (int | None): Pieces that are drafted at once from the prompt, if any.
    max_matching_ngram_size (int): Longest sequence of pieces that is looked up for that.
    extra (Mapping[str, Any]): All other fields of a `generation_config.json`.
    RAISES (ConfigError): An option is unknown, ill-typed or out of range, or options contradict each other.
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
    temperature: Annotated[float, TEMPERATURE] = 1.0
    top_k: Count = 0
    top_p: Probability = 1.0
    min_p: Probability | None = None
    typical_p: Annotated[float, number(1e-6, 1)] = 1.0
    repetition_penalty: Factor = 1.0
    no_repeat_ngram_size: Count = 0
    bad_words_ids: Annotated[
        tuple[tuple[int, ...], ...] | None, optional(list_of(list_of(PIECE, at_least=1)))
    ] = None
    forced_bos_token_id: PieceId | None = None
    forced_eos_token_id: Annotated[int | tuple[int, ...] | None, _one_or_more(PIECE)] = None
    bos_token_id: PieceId | None = None
    eos_token_id: Annotated[int | tuple[int, ...] | None, _one_or_more(PIECE)] = None
    pad_token_id: PieceId | None = None
    stop_strings: Annotated[str | tuple[str, ...] | None, _one_or_more(STOP)] = None
    max_time: Annotated[float, number(0, 1e9)] | None = None
    seed: Annotated[int | tuple[int, ...] | None, _one_or_more(SEED)] = None
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
        """RETURNS (tuple[int, ...]): The ids that end a sequence, however they were given."""
        return _as_tuple(self.eos_token_id)

    @property
    def forced_eos_token_ids(self) -> tuple[int, ...]:
        """RETURNS (tuple[int, ...]): The ids of which one is forced at the end, however they were given."""
        return _as_tuple(self.forced_eos_token_id)

    @property
    def stop_texts(self) -> tuple[str, ...]:
        """RETURNS (tuple[str, ...]): The texts that end a sequence, however they were given."""
        return _as_tuple(self.stop_strings)

    def max_added(self, prompt_length: int) -> int:
        """The pieces that may be added to a prompt.

        prompt_length (int): Pieces of the prompt.
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
        """A copy with some options changed; the copy is checked like a new config. A max_length given alone
        replaces max_new_tokens, which would otherwise take precedence.

        RETURNS (GenerationConfig): The new config.
        RAISES (ConfigError): As the constructor.
        """
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        if changes.get("max_length") is not None:
            own["max_new_tokens"] = None
        return GenerationConfig(**{**own, **changes})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "GenerationConfig":
        """The config that the content of a `generation_config.json` describes. Fields that are not options here
        go to `extra`; those that would change what Hugging Face generates are warned of.

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
                f"A generation config sets {', '.join(ignored)}, which Hugging Face follows and which has no "
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
        # To Hugging Face, the least number of pieces 0 is a wish that takes precedence over min_length.
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
    """What is contradictory is refused here, not left to the end of a run."""
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
