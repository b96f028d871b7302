from typing import Any, Optional, Union

import pytest
from transformers.utils import get_json_schema

from spacy_bloom.errors import InputError
from spacy_bloom.tokenizer.tool_schema import describe_tool


def temperature(place: str, unit: Optional[str] = "celsius", days: list[int] = ()) -> float:
    """
    Tells how warm it is.

    Args:
        place: The town, "Town, Country".
        unit: The unit
            of the answer. (choices: ["celsius", "fahrenheit"])
        days: Which days.

    Returns:
        The temperature.
    """


def search(query: Union[int, str], how: dict[str, Any], pair: tuple[int, str], flags: list[dict]):
    """Finds things.

    In many places.

    Args:
        query: What to find.
        how: How to find it.
        pair: Two of them.
        flags: More.
    """


def now() -> str:
    """Tells the time."""


@pytest.mark.parametrize("tool", [temperature, search, now])
def test_functions_are_described_as_there(tool):
    assert describe_tool(tool) == get_json_schema(tool)


def no_docstring(a: int):
    pass


def no_hint(a):
    """Does it.

    Args:
        a: This.
    """


def no_description(a: int):
    """Does it."""


def no_json(a: set[int]):
    """Does it.

    Args:
        a: This.
    """


@pytest.mark.parametrize("tool", [no_docstring, no_hint, no_description, no_json, "name", len])
def test_functions_that_say_too_little(tool):
    with pytest.raises(InputError):
        describe_tool(tool)


def test_a_schema_stays():
    schema = {"type": "function"}
    assert describe_tool(schema) is schema
