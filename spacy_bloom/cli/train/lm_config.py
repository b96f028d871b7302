"""The config of `train-lm`: one frozen dataclass per section, checked before anything is read or written."""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, get_args, get_origin

from ...errors import ConfigError
from ...pretraining.data import DataConfig
from ...pretraining.loop import TrainingConfig
from ...pretraining.tokenizer_training import TokenizerConfig


@dataclass(frozen=True)
class PathsConfig:
    """Section [paths] of a training config.

    text (str | list[str] | None): Directories with .txt files, files or glob patterns; one file per language.
    init_checkpoint (str | None): A checkpoint to fine-tune; None trains tokenizer and model from nothing.
    """

    text: str | list[str] | None = None
    init_checkpoint: str | None = None


@dataclass(frozen=True)
class ModelConfig:
    """Section [model] of a training config: fields of BloomConfig. To fine-tune, only the dropout is used.

    hidden_size (int), n_layer (int), n_head (int): The geometry.
    hidden_dropout (float), attention_dropout (float): Probabilities in [0, 1), used in training only.
    """

    hidden_size: int
    n_layer: int
    n_head: int
    hidden_dropout: float = 0.0
    attention_dropout: float = 0.0


@dataclass(frozen=True)
class LMConfig:
    """The sections of a training config; to fine-tune, [tokenizer] and [model] may be left out."""

    paths: PathsConfig
    data: DataConfig
    training: TrainingConfig
    tokenizer: TokenizerConfig | None = None
    model: ModelConfig | None = None


SECTIONS = {
    "paths": PathsConfig,
    "data": DataConfig,
    "training": TrainingConfig,
    "tokenizer": TokenizerConfig,
    "model": ModelConfig,
}


def read_config(config: Mapping[str, Any]) -> LMConfig:
    """config (Mapping[str, Any]): The sections and their values.
    RETURNS (LMConfig): The same, checked.
    RAISES (ConfigError): Unknown, missing or ill-typed keys (all are named), or a value out of range.
    """
    problems = [f"unknown section [{name}]" for name in config if name not in SECTIONS]
    wanted = [name for name in SECTIONS if name in config or not _may_lack(name, config)]
    for name in wanted:
        problems.extend(_problems(name, config.get(name, {})))
    if problems:
        raise ConfigError(f"The config cannot be used: {'; '.join(problems)}.")
    return LMConfig(**{name: SECTIONS[name](**config.get(name, {})) for name in wanted})


def _may_lack(section: str, config: Mapping[str, Any]) -> bool:
    """RETURNS (bool): Whether a checkpoint that is fine-tuned says what this section would say."""
    paths = config.get("paths")
    fine_tunes = isinstance(paths, Mapping) and paths.get("init_checkpoint") is not None
    return fine_tunes and section in ("tokenizer", "model")


def _problems(section: str, values: Any) -> Iterator[str]:
    if not isinstance(values, Mapping):
        yield f"[{section}] is {values!r}, expected a section"
        return
    known = {field.name: field for field in fields(SECTIONS[section])}
    yield from (f"unknown key {section}.{key}" for key in values if key not in known)
    for key, field in known.items():
        if key not in values and field.default is MISSING:
            yield f"missing key {section}.{key}"
        if key in values and not _fits(values[key], field.type):
            expected = field.type.__name__ if isinstance(field.type, type) else field.type
            yield f"{section}.{key} is {values[key]!r}, expected {expected}"


def _fits(value: Any, kind: Any) -> bool:
    if get_origin(kind) is list:
        return isinstance(value, list) and all(_fits(item, *get_args(kind)) for item in value)
    if get_args(kind):
        return any(_fits(value, option) for option in get_args(kind))
    if isinstance(value, bool):  # which Python counts among the ints
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)
