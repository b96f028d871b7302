"""Checks the settings of components that generate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from ...errors import ConfigError
from ...generation.config import GenerationConfig
from ...settings import Check, check, check_settings, find_problems, integer, one_of, shown

PER = ("doc", "sent", "span")
# Options of GenerationConfig that are settings of the component, so that each has one place.
OWN_SETTINGS = {
    "max_new_tokens": "Set max_new_tokens of the component",
    "max_length": "Set max_new_tokens of the component",
    "max_time": "Set max_seconds of the component",
    "seed": "Set seed of the component",
    "extra": "It is for files",
}
WORD = Check("text that is not empty", lambda x: isinstance(x, str) and x != "")
LABELS = Check(
    "a list of different texts, none empty",
    lambda x: (
        isinstance(x, (list, tuple)) and len(x) > 0 and all(map(WORD.accepts, x)) and len(set(x)) == len(x)
    ),
)
SCHEMA = Check("a JSON schema, as a section or dict", lambda x: isinstance(x, Mapping))

Word = Annotated[str, WORD]


@dataclass(frozen=True, kw_only=True)
class ConstraintSettings:
    """A constraint on generated texts.

    leading_space (bool | None): Whether a space comes before the text. None: if the prompt does not end in one.
    """

    leading_space: bool | None = None


@dataclass(frozen=True, kw_only=True)
class ChoiceSettings(ConstraintSettings):
    """One of some labels, written to doc.cats."""

    labels: Annotated[Sequence[str], LABELS]


@dataclass(frozen=True, kw_only=True)
class SpansSettings(ConstraintSettings):
    """A verbatim span of the unit's text, written to doc.ents, or to doc.spans under a key."""

    label: Word
    target: Annotated[str, one_of("ents", "spans")] = "ents"
    spans_key: Word | None = None
    occurrences: Annotated[str, one_of("all", "first")] = "all"

    def __post_init__(self) -> None:
        check_settings(self, "Constraint of type 'spans'")
        if (self.target == "spans") != (self.spans_key is not None):
            raise ConfigError(
                'Constraint of type \'spans\': expected spans_key with target "spans", and null with target "ents"; '
                f"got {shown(self.spans_key)} with {shown(self.target)}."
            )


@dataclass(frozen=True, kw_only=True)
class JsonSettings(ConstraintSettings):
    """JSON that a schema describes."""

    schema: Annotated[Mapping[str, Any], SCHEMA]
    whitespace: bool = False


@dataclass(frozen=True, kw_only=True)
class RegexSettings(ConstraintSettings):
    """A text that a pattern matches."""

    pattern: Word


CONSTRAINTS: dict[str, type[ConstraintSettings]] = {
    "choice": ChoiceSettings,
    "spans": SpansSettings,
    "json": JsonSettings,
    "regex": RegexSettings,
}


def make_constraint_settings(settings: Any) -> ConstraintSettings | None:
    """settings (Mapping[str, Any] | None): Settings of a component's constraint: a `type`, and the settings of that
    type. RETURNS (ConstraintSettings | None): The settings with defaults; None for None.
    RAISES (ConfigError): A setting is missing, unknown or invalid.
    """
    if settings is None:
        return None
    own = dict(settings) if isinstance(settings, Mapping) else {}
    kind = own.pop("type", None)
    if not isinstance(kind, str) or kind not in CONSTRAINTS:
        raise ConfigError(
            f"Expected constraint to be null or to have a type, one of {', '.join(CONSTRAINTS)}; got {shown(settings)}."
        )
    problems = find_problems(CONSTRAINTS[kind], own)
    if problems:
        raise ConfigError(f"Constraint of type {kind!r}: {'; '.join(problems)}.")
    return CONSTRAINTS[kind](**own)


def make_options(given: Mapping[str, Any], **own: Any) -> GenerationConfig:
    """Combine a component's settings to options of generation.

    given (Mapping[str, Any]): The section `generation`.
    **own (Any): Options that are settings of the component.
    RETURNS (GenerationConfig): All options.
    RAISES (ConfigError): An option is unknown, invalid, or a setting of the component.
    """
    refuse_options(given, OWN_SETTINGS)
    check("max_new_tokens", own["max_new_tokens"], integer(1))
    return with_one_seed(GenerationConfig(**{**given, **own}))


def refuse_options(given: Mapping[str, Any], advice: Mapping[str, str]) -> None:
    """advice (Mapping[str, str]): Options, and what to do instead of setting them.
    RAISES (ConfigError): One of these options is set.
    """
    for option, instead in advice.items():
        if given.get(option) is not None:
            raise ConfigError(
                f"Got {option}={shown(given[option])} among the options of generation. {instead}."
            )


def with_one_seed(options: GenerationConfig) -> GenerationConfig:
    """RETURNS (GenerationConfig): The options.
    RAISES (ConfigError): There is one seed per prompt: the number of prompts is not known in advance.
    """
    if isinstance(options.seed, tuple):
        raise ConfigError(f"Expected seed to be one integer or None, got {shown(options.seed)}.")
    return options


def check_sizes(**sizes: int | None) -> None:
    """RAISES (ConfigError): A size is neither an integer of 1 or more nor None."""
    for name, value in sizes.items():
        if value is not None:
            check(name, value, integer(1))


def check_units(per: Any, spans_key: Any) -> None:
    """RAISES (ConfigError): An unknown unit, or a key of spans without spans."""
    check("per", per, one_of(*PER))
    if spans_key is not None and (per != "span" or not WORD.accepts(spans_key)):
        raise ConfigError(
            f'Expected spans_key to be null, or with per = "span" a key of doc.spans; got {shown(spans_key)} with '
            f"per = {shown(per)}."
        )


def check_together(constraint: ConstraintSettings | None, options: GenerationConfig, per: str) -> None:
    """RAISES (ConfigError): Valid settings that conflict."""
    if isinstance(constraint, ChoiceSettings) and per != "doc":
        raise ConfigError(
            f'Expected per = "doc" with a constraint of type "choice", which writes to doc.cats; got {per!r}.'
        )
    if isinstance(constraint, (ChoiceSettings, SpansSettings)) and options.num_return_sequences > 1:
        raise ConfigError(
            f"Expected num_return_sequences = 1 with a constraint of this type, got {options.num_return_sequences}."
        )
