from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest

from spacy_bloom.errors import ConfigError, InputError
from spacy_bloom.settings import (
    FLAG,
    TEXT,
    PositiveInt,
    Rate,
    any_of,
    check,
    check_of,
    check_settings,
    from_settings,
    integer,
    list_of,
    number,
    one_of,
    optional,
    shown,
)

NAN, INF = float("nan"), float("inf")


@dataclass(frozen=True)
class Made:
    size: PositiveInt
    rate: Rate = 0.5
    name: str | None = None
    sizes: Annotated[Sequence[int], list_of(integer(1), at_least=1)] = (1,)
    quiet: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        check_settings(self, "made")


@pytest.mark.parametrize(
    "check, good, bad",
    [
        (integer(), [0, -3, 10**400], [True, 1.0, "1", None, [1]]),
        (integer(1), [1, 2**80], [0, -1, False, 1.5]),
        (integer(0, 3), [0, 3], [-1, 4]),
        (number(), [0, -1.5, 10**400], [NAN, INF, -INF, True, "1", None, 1j]),
        (number(0, below=1), [0, 0.999, 0.0], [1, -1e-300, NAN]),
        (number(above=0, at_most=1), [1e-300, 1], [0, 0.0, 1.0001]),
        (one_of("a", 1, None), ["a", 1, None], ["b", True, 1.0, 0, []]),
        (optional(integer(1)), [None, 1], [0, "", False]),
        (list_of(integer()), [[], (), [1, 2]], ["12", [1, "2"], {1}, 1, None]),
        (list_of(TEXT, at_least=1), [["a"], ("a", "")], [[], "a", [1]]),
        (any_of(FLAG, one_of("never")), [True, False, "never"], [0, 1, "always", None]),
    ],
)
def test_what_a_check_accepts(check, good, bad):
    assert [value for value in good if not check.accepts(value)] == []
    assert [value for value in bad if check.accepts(value)] == []


@pytest.mark.parametrize(
    "check, expected",
    [
        (integer(), "an integer"),
        (integer(1), "an integer of 1 or more"),
        (integer(1, 9), "an integer from 1 to 9"),
        (number(above=0, below=1), "a finite number above 0 and below 1"),
        (optional(one_of("a", "b")), "one of 'a', 'b', or null"),
        (list_of(integer(0), at_least=1), "a list of 1 or more, each an integer of 0 or more"),
    ],
)
def test_what_an_error_says_was_expected(check, expected):
    assert check.expected == expected


@pytest.mark.parametrize(
    "hint, good, bad",
    [
        (bool, True, 1),
        (int, 1, True),
        (float, 1, "1"),
        (str, "a", 1),
        (int | None, None, 1.0),
        (Annotated[int, integer(5)] | None, 5, 4),
        (str | list[str] | None, ["a"], ["a", 1]),
        (bool | str, "a", 1),
    ],
)
def test_types_are_checks(hint, good, bad):
    assert check_of(hint).accepts(good) and not check_of(hint).accepts(bad)


@pytest.mark.parametrize("hint", [Any, Mapping[str, Any], int | Mapping, dict, Sequence[Any]])
def test_other_types_are_not_checked(hint):
    assert check_of(hint) is None


def test_every_wrong_field_is_named():
    assert Made(2, name="a").rate == 0.5
    with pytest.raises(ConfigError) as caught:
        Made(0, rate=1.0, name=5, sizes=[], quiet=1)
    told = str(caught.value)
    assert told.startswith("made: expected size to be an integer of 1 or more, got 0; expected rate ")
    assert all(f"expected {name} to be " in told for name in ("size", "rate", "name", "sizes", "quiet"))


def test_settings_by_name():
    assert from_settings(Made, "made", {"size": 3, "quiet": True}) == Made(3, quiet=True)
    with pytest.raises(
        ConfigError, match=r"made: there is no setting 'sice'; .* missing: size; expected rate"
    ):
        from_settings(Made, "made", {"sice": 3, "rate": "high"})
    for wrong in (5, None, ["size"]):
        with pytest.raises(ConfigError, match="made: expected settings by name, got"):
            from_settings(Made, "made", wrong)
    with pytest.raises(ConfigError, match="no setting 5, "):
        from_settings(Made, "made", {5: 3, (): 4, "size": 1})


def test_one_value():
    check("n", 3, integer(1))
    with pytest.raises(InputError, match=r"^Expected n to be an integer of 1 or more, got '3'\.$"):
        check("n", "3", integer(1), error=InputError)


def test_values_are_shown_shortened():
    for value in ("x" * 10**6, [[1] * 100] * 100, 10**6000, {i: i for i in range(1000)}):
        assert len(shown(value)) < 200
