"""What the settings of the text generator may be."""

from collections.abc import Mapping
from typing import Any

from ...errors import ConfigError
from ...generation.config import GenerationConfig
from ...settings import check, integer, optional, shown

PER = ("doc", "sent", "span")
# Options of GenerationConfig that are settings of the component, so that there is one place for each.
OWN_OPTIONS = {
    "max_new_tokens": "max_new_tokens",
    "max_length": "max_new_tokens",
    "max_time": "max_seconds",
    "seed": "seed",
}


def make_options(given: Mapping[str, Any], **own: Any) -> GenerationConfig:
    """RETURNS (GenerationConfig): All options.
    RAISES (ConfigError): One is unknown, not what it should be, or has a place of its own.
    """
    for name in OWN_OPTIONS:
        if name in given:
            raise ConfigError(f"Set {OWN_OPTIONS[name]} of the component instead of {name} in generation.")
    if "extra" in given:
        raise ConfigError(
            "Generation config: there is no option 'extra' in a component's generation settings."
        )
    if own["max_new_tokens"] is None:
        raise ConfigError("Expected max_new_tokens to be an integer, got None: texts need an end.")
    return GenerationConfig(**given, **own)


def check_units(per: Any, spans_key: Any) -> None:
    """RAISES (ConfigError): No unit of a Doc, or a key of spans where there is no use for it."""
    if per not in PER:
        raise ConfigError(f"Expected per to be one of {PER}, got {shown(per)}.")
    if spans_key is not None and (per != "span" or not isinstance(spans_key, str) or not spans_key):
        raise ConfigError(
            f'Expected spans_key to be null, or with per = "span" a key of doc.spans; got {shown(spans_key)} with '
            f"per = {shown(per)}."
        )


def check_seed(seed: Any) -> None:
    """RAISES (ConfigError): Neither an integer nor None."""
    check("seed", seed, optional(integer()))


def check_numbers(**numbers: Any) -> None:
    """RAISES (ConfigError): One, by its name, is no integer of 1 or more."""
    for name, value in numbers.items():
        check(name, value, integer(1))


def check_together(constraint: Mapping[str, Any] | None, options: GenerationConfig, per: str) -> None:
    """RAISES (ConfigError): Settings that are right each by itself, but not together."""
    kind = None if constraint is None else constraint["type"]
    if kind == "choice" and per != "doc":
        raise ConfigError(
            f'Expected per = "doc" with a constraint of type "choice", got {per!r}: doc.cats is one.'
        )
    if kind in ("choice", "spans") and options.num_return_sequences > 1:
        raise ConfigError(
            f"Expected num_return_sequences = 1 with a constraint of type {kind!r}, got {options.num_return_sequences}."
        )
