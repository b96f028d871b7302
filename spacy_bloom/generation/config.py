"""Options of generation under Hugging Face's names, checked whenever they are set."""

import json
import os
import warnings
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import MISSING, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ..checkpoint.files import GENERATION_FILE
from ..checkpoint.sources import find_checkpoint
from ..errors import BloomWarning, ConfigError, InputError
from ..files import read_json, replacing_together, to_json, write_text
from ..settings import check, check_settings, checks_of, shown
from .options import CACHES, MAX_LENGTH_BY_DEFAULT, GenerationOptions

WHERE = "Generation config"
# What None says where it does not say the default.
NONE_MEANS = {"top_k": 0}
# Names of fields in files that say where these come from, not what is generated.
METADATA = ("_from_model_config", "_commit_hash", "_original_object_hash", "transformers_version")


class GenerationConfig(GenerationOptions):
    """Options of generation; see GenerationOptions for each. They can be set as attributes, and are checked then; what
    conflicts is found by `validate`, which `generate` calls.

    None stands for the default, or for no limit where there is one by default. Lists are copied.

    extra (Mapping[str, Any]): All other fields of a `generation_config.json`; readable as attributes.
    RAISES (ConfigError): An option is unknown, ill-typed or out of range, or options conflict.
    SOURCE: transformers' GenerationConfig.
    """

    def __init__(self, /, **values: Any) -> None:
        _expect_known(values)
        extra = values.pop("extra", None)
        if not isinstance(extra, Mapping | None):
            raise ConfigError(f"{WHERE}: expected extra to be a mapping, got {shown(extra)}.")
        own = {**DEFAULTS, **{name: _kept(name, value) for name, value in values.items()}}
        self.__dict__.update(own, extra=dict(extra or {}), _counts_prompt=False)
        check_settings(self, WHERE)
        self.validate()

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in OPTIONS and name != "extra" and not name.startswith("_"):
            _expect_known([name])
        value = _kept(name, value) if name in OPTIONS else value
        if name == "extra" and not isinstance(value := value or {}, Mapping):
            raise ConfigError(f"{WHERE}: expected extra to be a mapping, got {shown(value)}.")
        if name in CHECKS:
            check(name, value, CHECKS[name])
        self.__dict__[name] = value

    def __getattr__(self, name: str) -> Any:
        extra = self.__dict__.get("extra", {})
        if name in extra:
            return extra[name]
        raise AttributeError(f"A {type(self).__name__} has no option {name!r}.")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GenerationConfig) and self._content() == other._content()

    def __hash__(self) -> int:
        return hash(json.dumps(_jsonable(self._content()), sort_keys=True, default=str))

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string(ignore_metadata=True)}"

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

    @property
    def fixed_added(self) -> int | None:
        """RETURNS (int | None): How many pieces may be added to any prompt; None if that depends on its length."""
        if self.max_new_tokens is not None:
            return self.max_new_tokens
        by_default = self.max_length == MAX_LENGTH_BY_DEFAULT and not self._counts_prompt
        return MAX_LENGTH_BY_DEFAULT if by_default else None

    def max_added(self, prompt_length: int) -> int:
        """How many pieces may be added to a prompt.

        prompt_length (int): Number of pieces in the prompt.
        RETURNS (int): At least 1.
        RAISES (InputError): The prompt is as long as max_length already, as in Hugging Face.
        """
        if self.fixed_added is not None:
            return self.fixed_added
        if prompt_length >= self.max_length:
            raise InputError(
                f"Expected a prompt of fewer than max_length={self.max_length} pieces, got {prompt_length}: "
                "max_length counts the prompt. Raise it, or set max_new_tokens instead."
            )
        return self.max_length - prompt_length

    def validate(self, strict: bool = False) -> None:
        """RAISES (ConfigError): Options conflict. This is refused here, not at the end of a run.

        strict (bool): For Hugging Face's users; nothing is let pass here otherwise.
        """
        problem = next(iter(_conflicts(self)), None)
        if problem is not None:
            raise ConfigError(f"{WHERE}: {problem}")

    def replace(self, **changes: Any) -> "GenerationConfig":
        """A checked copy with some options changed. A max_length that is given here counts the prompt, also if it is
        as large as the default. (As in Hugging Face, max_new_tokens takes precedence.)

        RETURNS (GenerationConfig): The new config.
        RAISES (ConfigError): As the constructor.
        """
        _expect_known(changes)
        new = type(self).__new__(type(self))
        # Only what changes is checked: every call of `generate` makes such copies.
        new.__dict__.update({name: _copied(value) for name, value in vars(self).items()})
        for name, value in changes.items():
            setattr(new, name, value)
        new._counts_prompt = self._counts_prompt or changes.get("max_length") is not None
        new.validate()
        return new

    def update(self, **values: Any) -> dict[str, Any]:
        """Set options.

        RETURNS (dict[str, Any]): The values that are no options.
        RAISES (ConfigError): As the constructor.
        """
        known = {name: value for name, value in values.items() if name in OPTIONS}
        for name, value in known.items():
            setattr(self, name, value)
        self.validate()
        return {name: value for name, value in values.items() if name not in known}

    @classmethod
    def from_dict(cls, config_dict: Mapping[str, Any], **kwargs: Any) -> Any:
        """Read the content of a `generation_config.json`. Fields that are not options go to `extra`.

        kwargs: Options that take precedence.
        RETURNS (GenerationConfig): The config; with `return_unused_kwargs`, also the kwargs that are no options.
        RAISES (ConfigError): As the constructor.
        """
        if not isinstance(config_dict, Mapping):
            raise ConfigError(
                f"Expected the fields of a generation config, got {type(config_dict).__name__}."
            )
        strange = [name for name in config_dict if not isinstance(name, str)]
        if strange:
            raise ConfigError(
                f"Expected the names of a generation config's fields as text, got {shown(strange)}."
            )
        both = kwargs.pop("return_unused_kwargs", False)
        unused = {name: value for name, value in kwargs.items() if name not in OPTIONS}
        values = {**config_dict, **{name: value for name, value in kwargs.items() if name in OPTIONS}}
        extra = {name: value for name, value in values.items() if name not in OPTIONS}
        config = cls(**{name: values[name] for name in OPTIONS if name in values}, extra=extra)
        return (config, unused) if both else config

    @classmethod
    def from_json_file(cls, path: Path) -> "GenerationConfig":
        """RETURNS (GenerationConfig): The config in a `generation_config.json`. What it sets and is not supported is
            kept in `extra`, with a warning.
        RAISES (ConfigError): The file is missing, not JSON, or not a valid config.
        """
        return cls.from_checkpoint(read_json(Path(path)))

    @classmethod
    def from_checkpoint(cls, values: Any, **kwargs: Any) -> Any:
        """As `from_dict`, for the content of a checkpoint's file: what is not supported is kept in `extra`, with a
        warning, so that the checkpoint can be loaded.
        """
        if not isinstance(values, Mapping):
            return cls.from_dict(values)
        bad = [name for name in ("watermarking_config", "cache_config") if values.get(name) is not None]
        if values.get("cache_implementation") not in (None, *CACHES):
            bad.append("cache_implementation")
        if bad:
            warnings.warn(f"{WHERE}: {', '.join(bad)} has no effect here.", BloomWarning, stacklevel=4)
        found = cls.from_dict({name: value for name, value in values.items() if name not in bad}, **kwargs)
        config = found[0] if isinstance(found, tuple) else found
        config.extra = {**config.extra, **{name: values[name] for name in bad}}
        return found

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name: str | os.PathLike, config_file_name: str | None = None, **kwargs: Any
    ) -> Any:
        """Read the `generation_config.json` of a checkpoint.

        pretrained_model_name (str | PathLike): As for the models.
        config_file_name (str | None): Another file's name.
        kwargs: revision, local_files_only; options that take precedence; return_unused_kwargs.
        RETURNS (GenerationConfig): The config.
        RAISES (CheckpointError, ConfigError): There is no such checkpoint, or none of this name in it.
        """
        where = {name: kwargs.pop(name) for name in ("revision", "local_files_only") if name in kwargs}
        for name in NOT_OURS:
            kwargs.pop(name, None)
        path = find_checkpoint(pretrained_model_name, weights=False, **where)
        return cls.from_checkpoint(read_json(path / Path(config_file_name or GENERATION_FILE).name), **kwargs)

    @classmethod
    def from_model_config(cls, model_config: Any) -> "GenerationConfig":
        """RETURNS (GenerationConfig): The options that the config of a model holds: its control tokens, and what old
        files set there.
        """
        values = {name: value for name, value in model_config.to_dict().items() if name in OPTIONS}
        shared = (
            "use_cache",
            "output_attentions",
            "output_hidden_states",
        )  # these are about its forward passes
        own = {name: value for name, value in values.items() if value is not None and name not in shared}
        return cls(**own, extra={"_from_model_config": True})

    def save_pretrained(
        self, save_directory: str | os.PathLike, config_file_name: str | None = None, **kwargs: Any
    ) -> None:
        """Write a `generation_config.json`.

        config_file_name (str | None): Another file's name.
        RAISES (ConfigError): Options conflict, or it should be pushed to the Hub.
        """
        self.validate()
        if kwargs.get("push_to_hub"):
            raise ConfigError(
                "Files are not pushed to the Hub from here: upload the directory with huggingface_hub."
            )
        Path(save_directory).mkdir(parents=True, exist_ok=True)
        with replacing_together(Path(save_directory)) as create:
            write_text(create(Path(config_file_name or GENERATION_FILE).name), self.to_json_string())

    def to_dict(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): All fields, those of `extra` too."""
        own = {name: deepcopy(getattr(self, name)) for name in OPTIONS}
        return {**deepcopy(dict(self.extra)), **own}

    def to_diff_dict(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): The fields that are not as by default."""
        return {n: v for n, v in self.to_dict().items() if n not in DEFAULTS or v != DEFAULTS[n]}

    def to_json_string(self, use_diff: bool = True, ignore_metadata: bool = False) -> str:
        """
        use_diff (bool): Leave out what is as by default.
        ignore_metadata (bool): Leave out what says where the config comes from.
        RETURNS (str): JSON with sorted keys, so that equal configs are equal bytes.
        """
        values = self.to_diff_dict() if use_diff else self.to_dict()
        kept = {
            n: v for n, v in values.items() if not (ignore_metadata and n in METADATA) and n not in IN_MEMORY
        }
        return to_json(_jsonable(kept))

    def to_json_file(self, json_file_path: str | os.PathLike, use_diff: bool = True) -> None:
        """Write `to_json_string` to a file."""
        write_text(Path(json_file_path), self.to_json_string(use_diff=use_diff))

    def _content(self) -> dict[str, Any]:
        return {n: v for n, v in self.to_dict().items() if n not in METADATA and n != "compile_config"}


OPTIONS = tuple(f.name for f in fields(GenerationOptions) if f.name != "extra")
DEFAULTS = {f.name: f.default for f in fields(GenerationOptions) if f.default is not MISSING}
CHECKS = checks_of(GenerationOptions)
# Objects that no file holds.
IN_MEMORY = ("constraints", "compile_config")
# Arguments of Hugging Face's `from_pretrained` that ask for nothing here.
NOT_OURS = (
    "cache_dir",
    "force_download",
    "token",
    "proxies",
    "resume_download",
    "subfolder",
    "use_auth_token",
)


def _expect_known(names: Iterable[str]) -> None:
    for name in names:
        if name in OPTIONS or name == "extra":
            continue
        near = get_close_matches(name, OPTIONS)
        told = f"Did you mean {' or '.join(near)}?" if near else f"The options are {', '.join(OPTIONS)}."
        raise ConfigError(f"{WHERE}: there is no option {shown(name)}. {told}")


def _kept(name: str, value: Any) -> Any:
    """RETURNS (Any): What is kept for a value: a copy, lists for tuples as in a file."""
    if value is None:
        return NONE_MEANS.get(name, DEFAULTS[name])
    if name == "seed":
        return tuple(value) if isinstance(value, (list, tuple)) else value
    if hasattr(value, "tolist") and not isinstance(value, (list, tuple)):  # a tensor of ids, as there
        value = value.tolist()
    if name in ("constraints", "sequence_bias", "exponential_decay_length_penalty"):
        return deepcopy(value) if name != "constraints" else value
    return _lists(value)


def _copied(value: Any) -> Any:
    return deepcopy(value) if isinstance(value, (list, dict)) else value


def _lists(value: Any) -> Any:
    return [_lists(part) for part in value] if isinstance(value, (list, tuple)) else value


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        if any(isinstance(key, tuple) for key in value):  # biases by pieces: JSON has no such keys
            return [[list(key), bias] for key, bias in value.items()]
        return {str(key): _jsonable(part) for key, part in value.items()}
    return [_jsonable(part) for part in value] if isinstance(value, (list, tuple)) else value


def _as_tuple(value: Any) -> tuple:
    if value is None:
        return ()
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def _conflicts(config: GenerationConfig) -> Iterable[str]:
    """YIELDS (str): What does not go together."""
    n, beams = config.num_return_sequences, config.num_beams
    forced = config.constraints is not None or config.force_words_ids is not None
    if n > 1 and beams == 1 and not config.do_sample:
        yield (
            f"expected num_return_sequences to be 1, got {n}: greedy decoding gives one sequence. "
            "Set do_sample=True, or num_beams."
        )
    if n > beams > 1:
        yield f"expected num_return_sequences to be at most num_beams={beams}, got {n}."
    if beams > 1 and config.prompt_lookup_num_tokens is not None:
        lookup = config.prompt_lookup_num_tokens
        yield f"expected prompt_lookup_num_tokens to be None in beam search, got {lookup} with num_beams={beams}."
    if forced and beams == 1:
        yield "expected num_beams above 1 with force_words_ids or constraints, got 1."
    groups, diversity = config.num_beam_groups, config.diversity_penalty
    if forced and (config.do_sample or groups > 1):
        yield "expected force_words_ids and constraints without do_sample and num_beam_groups."
    if beams == 1 and groups > 1:
        yield f"expected num_beam_groups that divides num_beams=1, got {groups}."
    if beams > 1 and not forced and (groups > 1 or diversity > 0):
        if config.do_sample:
            yield "expected do_sample to be False with num_beam_groups or diversity_penalty."
        if beams % groups or groups == 1:
            yield f"expected num_beam_groups above 1 that divides num_beams={beams}, got {groups}."
        if diversity == 0:
            yield "expected diversity_penalty above 0 with num_beam_groups, or all groups are the same; got 0."
    yield from _bad_lengths(config)


def _bad_lengths(config: GenerationConfig) -> Iterable[str]:
    pairs = [("min_new_tokens", "max_new_tokens")]
    if config.fixed_added is None:
        # min_new_tokens counts without the prompt: as much of it as max_length, and any prompt is too long.
        pairs = [("min_new_tokens", "max_length"), ("min_length", "max_length")]
    for low, high in pairs:
        most = config.fixed_added if high == "max_new_tokens" else config.max_length
        if most is not None and (getattr(config, low) or 0) > most:
            yield f"expected {low} to be at most {high}={most}, got {getattr(config, low)}."
