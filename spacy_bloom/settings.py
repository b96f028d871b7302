"""Checked settings: the type of a dataclass field says what it may be, and one place checks it."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from functools import lru_cache
from reprlib import Repr
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import BloomError, ConfigError

T = TypeVar("T")


@dataclass(frozen=True)
class Check:
    """What a setting may be. `Annotated[int, integer(1)]` attaches one to the type of a field.

    expected (str): Completes "expected NAME to be ...".
    accepts (Callable[[Any], bool]): Whether a value is that; must not raise.
    """

    expected: str
    accepts: Callable[[Any], bool]


def integer(at_least: int | None = None, at_most: int | None = None) -> Check:
    """RETURNS (Check): An integer within these limits. Booleans are none, although Python counts them as such."""
    low, high = -math.inf if at_least is None else at_least, math.inf if at_most is None else at_most
    limits = "" if at_least is None else f" of {at_least} or more"
    limits = limits if at_most is None else f" from {at_least} to {at_most}"
    return Check(f"an integer{limits}", lambda x: is_int(x) and low <= x <= high)


def number(
    at_least: float = -math.inf,
    at_most: float = math.inf,
    *,
    above: float = -math.inf,
    below: float = math.inf,
) -> Check:
    """RETURNS (Check): A finite number, integer or float, within these limits."""
    limits = {"at least": at_least, "above": above, "at most": at_most, "below": below}
    said = " and ".join(f"{word} {limit}" for word, limit in limits.items() if math.isfinite(limit))
    return Check(
        f"a finite number {said}".rstrip(),
        lambda x: is_number(x) and at_least <= x <= at_most and above < x < below,
    )


def one_of(*choices: Any) -> Check:
    """RETURNS (Check): One of these values; 1 is not True."""
    return Check(
        f"one of {', '.join(map(repr, choices))}",
        lambda x: any(type(x) is type(choice) and x == choice for choice in choices),
    )


def optional(check: Check) -> Check:
    """RETURNS (Check): The same, or None."""
    return Check(f"{check.expected}, or null", lambda x: x is None or check.accepts(x))


def list_of(check: Check, *, at_least: int = 0) -> Check:
    """RETURNS (Check): A list or tuple of so many such values or more."""
    return Check(
        f"a list of {at_least} or more, each {check.expected}"
        if at_least
        else f"a list, each {check.expected}",
        lambda x: isinstance(x, (list, tuple)) and len(x) >= at_least and all(map(check.accepts, x)),
    )


def any_of(*checks: Check) -> Check:
    """RETURNS (Check): What one of the checks accepts."""
    return Check(
        ", or ".join(check.expected for check in checks), lambda x: any(check.accepts(x) for check in checks)
    )


def is_whole(text: str) -> bool:
    """RETURNS (bool): Whether there is no half of a surrogate pair, which JSON can escape and no tokenizer reads."""
    try:
        text.encode("utf8")
    except UnicodeEncodeError:
        return False
    return True


def is_int(value: Any) -> bool:
    """RETURNS (bool): Whether a value is an integer and no boolean."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """RETURNS (bool): Whether a value is an integer or a float and no boolean."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


FLAG = Check("true or false", lambda x: isinstance(x, bool))
TEXT = Check("text", lambda x: isinstance(x, str))
BY_TYPE = {bool: FLAG, int: integer(), float: number(), str: TEXT}

PositiveInt = Annotated[int, integer(1)]
NaturalInt = Annotated[int, integer(0)]
# Of dropout and the like: below 1, as something must be left.
Rate = Annotated[float, number(0, below=1)]
# Of pieces; int32 is what indices of embeddings are stored in at least.
PieceId = Annotated[int, integer(0, 2**31 - 1)]


def check_of(hint: Any) -> Check | None:
    """hint (Any): The type of a field: `Annotated` with a check, a plain type, or a union or list of such.
    RETURNS (Check | None): What a value must be; None if the type says nothing that can be checked.
    """
    attached = [part for part in getattr(hint, "__metadata__", ()) if isinstance(part, Check)]
    if attached:
        return attached[0]
    options = get_args(hint)
    if get_origin(hint) in (Union, UnionType):
        checks = [check_of(option) for option in options if option is not NoneType]
        known = [check for check in checks if check is not None]
        if len(known) < len(checks):
            return None
        check = known[0] if len(known) == 1 else any_of(*known)
        return optional(check) if NoneType in options else check
    if get_origin(hint) in (list, Sequence):
        item = check_of(options[0])
        return None if item is None else list_of(item)
    return BY_TYPE.get(hint)


@lru_cache
def checks_of(kind: type) -> Mapping[str, Check]:
    """RETURNS (Mapping[str, Check]): The checks of a dataclass, by field."""
    hints = get_type_hints(kind, include_extras=True)
    found = {field.name: check_of(hints[field.name]) for field in fields(kind)}
    return {name: check for name, check in found.items() if check is not None}


def check(name: str, value: Any, expected: Check, *, error: type[BloomError] = ConfigError) -> None:
    """Check one value, for example an argument of a function.

    name (str): What the caller knows it by.
    RAISES (error): It is not what it should be.
    """
    if not expected.accepts(value):
        raise error(f"Expected {name} to be {expected.expected}, got {shown(value)}.")


def check_settings(settings: Any, where: str) -> None:
    """Check all fields of a dataclass; called by its `__post_init__`.

    where (str): What a user knows the settings by, for example the name of a config's section.
    RAISES (ConfigError): Fields are not what they should be; all are named.
    """
    _raise_if(where, list(_bad_values(type(settings), vars(settings))))


def from_settings(kind: type[T], where: str, settings: Mapping[str, Any]) -> T:
    """kind (type): A dataclass.
    where (str): What a user knows the settings by.
    settings (Mapping[str, Any]): Values of its fields; those with defaults may be missing.
    RETURNS (T): With these values.
    RAISES (ConfigError): There are unknown, missing or wrong settings; all are named.
    """
    _raise_if(where, find_problems(kind, settings))
    return kind(**settings)


def find_problems(kind: type, settings: Any) -> list[str]:
    """RETURNS (list[str]): What is wrong with settings from which a dataclass is to be made, in words."""
    if not isinstance(settings, Mapping):
        return [f"expected settings by name, got {shown(settings)}"]
    known = {field.name: field for field in fields(kind)}
    required = [n for n, field in known.items() if field.default is field.default_factory is MISSING]
    problems = []
    unknown = [shown(name) for name in settings if name not in known]
    if unknown:
        problems.append(f"there is no setting {', '.join(unknown)}; the settings are {', '.join(known)}")
    problems += [f"missing: {name}" for name in required if name not in settings]
    return problems + list(_bad_values(kind, settings))


def _bad_values(kind: type, values: Mapping[str, Any]) -> Iterator[str]:
    for name, check in checks_of(kind).items():
        if name in values and not check.accepts(values[name]):
            yield f"expected {name} to be {check.expected}, got {shown(values[name])}"


def _raise_if(where: str, problems: list[str]) -> None:
    if problems:
        raise ConfigError(f"{where}: {'; '.join(problems)}.")


def shown(value: Any) -> str:
    """RETURNS (str): A value for an error message, shortened: values come from files and can have any size."""
    short = Repr()
    short.maxstring = short.maxother = 80
    try:
        return short.repr(value)
    except ValueError:  # an integer of thousands of digits has no text
        return f"a {type(value).__name__} too long to show"
