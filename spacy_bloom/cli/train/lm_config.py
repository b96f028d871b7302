"""The config of `train-lm`: one frozen dataclass per section, checked before anything is read or written."""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from ...errors import ConfigError
from ...pretraining.config import TrainingConfig
from ...pretraining.data import DataConfig
from ...pretraining.tokenizer_training import TokenizerConfig


@dataclass(frozen=True)
class PathsConfig:
    """Section [paths] of a training config.

    text (str | list[str] | None): Directories with .txt files, files or glob patterns; one file per language.
    init_checkpoint (str | None): A checkpoint to fine-tune; None trains a new tokenizer and model.
    """

    text: str | list[str] | None = None
    init_checkpoint: str | None = None


@dataclass(frozen=True)
class ModelConfig:
    """Section [model] of a training config: fields of BloomConfig. Fine-tuning uses the dropout only.

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
    """The sections of a training config; [tokenizer] and [model] are optional for fine-tuning."""

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
    """config (Mapping[str, Any]): Sections and their values.
    RETURNS (LMConfig): The checked config.
    RAISES (ConfigError): Unknown, missing or ill-typed keys, all of which are listed, or a value out of range.
    """
    problems = [f"unknown section [{name}]" for name in config if name not in SECTIONS]
    wanted = [name for name in SECTIONS if name in config or not _is_optional(name, config)]
    for name in wanted:
        problems.extend(_problems(name, config.get(name, {})))
    if problems:
        raise ConfigError(
            f"Invalid config: {'; '.join(problems)}. See configs/train_lm_tiny.cfg for an example."
        )
    return LMConfig(**{name: SECTIONS[name](**config.get(name, {})) for name in wanted})


def _is_optional(section: str, config: Mapping[str, Any]) -> bool:
    """RETURNS (bool): Whether the checkpoint to fine-tune replaces the section."""
    paths = config.get("paths")
    fine_tunes = isinstance(paths, Mapping) and paths.get("init_checkpoint") is not None
    return fine_tunes and section in ("tokenizer", "model")


def _schema(section: type) -> type[BaseModel]:
    """RETURNS (type[BaseModel]): Checks types and names; a section's own checks would stop at the first fault."""
    keys: dict[str, Any] = {
        field.name: (field.type, ... if field.default is MISSING else field.default)
        for field in fields(section)
    }
    config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())
    return create_model(section.__name__, __config__=config, **keys)


def _problems(section: str, values: Any) -> Iterator[str]:
    if not isinstance(values, Mapping):
        yield f"[{section}] is {values!r}, expected a section"
        return
    try:
        SCHEMAS[section].model_validate(dict(values))
    except ValidationError as error:
        first: dict[Any, str] = {}  # a union has a problem for each of its types
        for problem in error.errors(include_url=False):
            first.setdefault(problem["loc"][0], WORDS.get(problem["type"], problem["msg"]))
        for key, what in first.items():
            name = f"{section}.{key}"
            if what in WORDS.values():
                yield f"{what} key {name}"
            else:
                yield f"{name} is {values[key]!r}, {what.replace('Input should be', 'expected')}"


WORDS = {"missing": "missing", "extra_forbidden": "unknown"}
SCHEMAS = {name: _schema(section) for name, section in SECTIONS.items()}
