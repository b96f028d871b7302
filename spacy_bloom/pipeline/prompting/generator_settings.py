"""Checks the settings of components that generate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from ...errors import ConfigError
from ...generation.config import GenerationConfig
from ...settings import Check, PositiveInt, check, check_settings, find_problems, integer, one_of, shown

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


@dataclass(frozen=True, kw_only=True)
class GeneratorSettings:
    """Prompts, how they are continued, and where the result is written.

    upstream (str | None): Name of a bloom_transformer whose weights are used instead, as training leaves them.
    prompt (str): A Jinja2 template with the variable `doc` (text, ents, sents, spans, cats, user_data, _), and `sent`
        or `span` (text, label_, start_char, end_char, ents, sent, _) for these values of per.
    per (str): The unit of a prompt: "doc", every "sent" of doc.sents, or every "span" of doc.spans[spans_key].
    spans_key (str | None): Key of the spans; None for doc.ents.
    attr (str): Extension of Doc (or Span, depending on per) for texts and parsed objects; None where nothing was
        written. Texts exclude prompt, control tokens and stop string; several sequences are a list.
    special_tokens (bool): Read control tokens in the template's own text as control tokens. Text from Docs is always
        ordinary text.
    max_new_tokens (int): Maximum number of pieces in a text.
    generation (Mapping[str, Any] | None): More options of GenerationConfig, such as do_sample, temperature, num_beams,
        num_return_sequences, stop_strings, prompt_lookup_num_tokens. A checkpoint's own options are not used.
    seed (int | None): Seed for do_sample; None for different texts every time.
    constraint (Mapping[str, Any] | None): Restricts the text, by type:
        "choice": one of `labels`; written to doc.cats, 1 for the chosen one and 0 for the others.
        "spans": a verbatim span of the unit's text, at token boundaries, with `label`; written to doc.ents, or with
            `target` "spans" to doc.spans[`spans_key`]; `occurrences` "all" or "first".
        "json": JSON that matches a `schema`, with free `whitespace` or as json.dumps writes it; written to attr, parsed
            to objects.
        "regex": a text that matches a `pattern`; written to attr. The last two require llguidance.
        All have `leading_space`, whether a space comes before the text: by default if the prompt does not end in one.
        Incomplete texts are not written; a BloomWarning counts them.
    max_batch_items (int | None): Maximum number of pieces whose keys and values are in memory at once, including
        padding and generated pieces; a longer prompt is continued alone. None for as many as take 1/20 of the memory
        of the weights, or 64 MB if that is more.
    max_prompt_pieces (int): Maximum number of pieces in a prompt, and in a text from which spans are taken; more are an
        error for that Doc.
    max_seconds (float | None): Seconds after which no further piece of a batch is started. A BloomWarning counts the
        texts that are cut off.
    RAISES (ConfigError): A setting is invalid.
    """

    upstream: str | None = None
    prompt: str = "{{ doc.text }}"
    per: Annotated[str, one_of("doc", "sent", "span")] = "doc"
    spans_key: str | None = None
    attr: str = "generated"
    special_tokens: bool = False
    max_new_tokens: PositiveInt = 50
    generation: dict[str, Any] = field(default_factory=dict)
    seed: int | None = 0
    constraint: dict[str, Any] | None = None
    max_batch_items: PositiveInt | None = None
    max_prompt_pieces: PositiveInt = 2048
    max_seconds: float | None = 600.0

    def __post_init__(self) -> None:
        check_settings(self, "bloom_text_generator")
        if self.spans_key is not None and (self.per != "span" or not self.spans_key):
            raise ConfigError(
                f'Expected spans_key to be null, or with per = "span" a key of doc.spans; got {shown(self.spans_key)} '
                f"with per = {shown(self.per)}."
            )

    def options(self) -> GenerationConfig:
        """RETURNS (GenerationConfig): The options of generation that the settings make.
        RAISES (ConfigError): An option is unknown, invalid, or a setting of the component.
        """
        refuse_options(self.generation, OWN_SETTINGS)
        own = {"max_new_tokens": self.max_new_tokens, "max_time": self.max_seconds, "seed": self.seed}
        return with_one_seed(GenerationConfig(**{"top_k": 0, **self.generation, **own}))


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
