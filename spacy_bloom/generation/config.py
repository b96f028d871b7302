"""What is generated, and how: Hugging Face's options under their names, checked once, never changed."""

import json
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ..config import is_int, is_number, read_json, shown
from ..errors import BloomWarning, ConfigError, InputError

MAX_NEW_TOKENS = 20  # where neither max_new_tokens nor max_length is given
MAX_ID = 2**31 - 1
MAX_SEED = 2**64 - 1
MAX_ROWS = 2**12  # per prompt; more is a mistake, and is refused before memory is taken

# From and to, both allowed.
INTEGERS = {
    "max_new_tokens": (1, MAX_ID),
    "min_new_tokens": (0, MAX_ID),
    "max_length": (1, MAX_ID),
    "min_length": (0, MAX_ID),
    "num_beams": (1, MAX_ROWS),
    "num_return_sequences": (1, MAX_ROWS),
    "top_k": (0, MAX_ID),
    "no_repeat_ngram_size": (0, MAX_ID),
    "prompt_lookup_num_tokens": (1, MAX_ID),
    "max_matching_ngram_size": (1, 16),  # an index of all of them is kept
}
# Scores and lengths stay finite within these limits.
NUMBERS = {
    "length_penalty": (-32, 32),
    "temperature": (1e-6, 1e6),
    "top_p": (0, 1),
    "min_p": (0, 1),
    "typical_p": (1e-6, 1),
    "repetition_penalty": (1e-6, 1e6),
    "max_time": (0, 1e9),
}
IDS = ("forced_bos_token_id", "bos_token_id", "pad_token_id")
ONE_OR_MORE_IDS = ("eos_token_id", "forced_eos_token_id")
HINTS = {"temperature": "; for greedy decoding set do_sample=False", "max_time": " seconds"}

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

    max_new_tokens: int | None = MAX_NEW_TOKENS
    min_new_tokens: int = 0
    max_length: int | None = None
    min_length: int = 0
    do_sample: bool = False
    num_beams: int = 1
    early_stopping: bool | str = False
    length_penalty: float = 1.0
    num_return_sequences: int = 1
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float | None = None
    typical_p: float = 1.0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    bad_words_ids: tuple[tuple[int, ...], ...] | None = None
    forced_bos_token_id: int | None = None
    forced_eos_token_id: int | tuple[int, ...] | None = None
    bos_token_id: int | None = None
    eos_token_id: int | tuple[int, ...] | None = None
    pad_token_id: int | None = None
    stop_strings: str | tuple[str, ...] | None = None
    max_time: float | None = None
    seed: int | tuple[int, ...] | None = None
    prompt_lookup_num_tokens: int | None = None
    max_matching_ngram_size: int = 2
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
        _check(self)

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
        return json.dumps(self.to_dict(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


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


def _check(config: GenerationConfig) -> None:
    """None is only where it is allowed: elsewhere, the default has taken its place."""

    def expect(good: bool, name: str, what: str) -> None:
        if not good:
            raise ConfigError(
                f"Generation config: expected {name} to be {what}, got {shown(getattr(config, name))}."
            )

    for name, (least, most) in INTEGERS.items():
        value = getattr(config, name)
        good = value is None or (is_int(value) and least <= value <= most)
        expect(good, name, f"an integer from {least} to {most}")
    for name, (low, high) in NUMBERS.items():
        value = getattr(config, name)
        good = value is None or (is_number(value) and low <= value <= high)
        expect(good, name, f"a number from {low:g} to {high:g}{HINTS.get(name, '')}")
    for name in IDS:
        value = getattr(config, name)
        expect(value is None or _is_id(value), name, f"an id from 0 to {MAX_ID} or None")
    for name in ONE_OR_MORE_IDS:
        value = getattr(config, name)
        good = value is None or _is_one_or_more(value, _is_id)
        expect(good, name, f"an id from 0 to {MAX_ID}, a list of at least one, or None")
    expect(isinstance(config.do_sample, bool), "do_sample", "True or False")
    good = isinstance(config.early_stopping, bool) or config.early_stopping == "never"
    expect(good, "early_stopping", 'True, False or "never"')
    words = config.bad_words_ids
    good = words is None or (isinstance(words, tuple) and all(_is_word(word) for word in words))
    expect(good, "bad_words_ids", f"a list of lists of at least one id from 0 to {MAX_ID}, or None")
    stops = config.stop_strings
    good = stops is None or _is_one_or_more(stops, lambda text: isinstance(text, str) and text != "")
    expect(good, "stop_strings", "a text that is not empty, a list of at least one, or None")
    good = config.seed is None or _is_one_or_more(config.seed, _is_seed)
    expect(good, "seed", f"an integer from 0 to {MAX_SEED}, a list of them, one per prompt, or None")
    _check_together(config)


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


def _is_id(value: Any) -> bool:
    return is_int(value) and 0 <= value <= MAX_ID


def _is_seed(value: Any) -> bool:
    return is_int(value) and 0 <= value <= MAX_SEED


def _is_word(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) > 0 and all(_is_id(i) for i in value)


def _is_one_or_more(value: Any, is_one: Any) -> bool:
    return is_one(value) or (isinstance(value, tuple) and len(value) > 0 and all(is_one(x) for x in value))
