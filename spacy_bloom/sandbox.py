"""jinja2's sandbox with lists of what is allowed instead of what is not.

A template cannot make texts of any size from nothing, draw random numbers, or reach attributes. One that computes for a
long time without output is not stopped.
"""

from collections.abc import Iterable
from typing import Any

from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment, SecurityError

# fmt: off
FILTERS = (
    "abs", "capitalize", "count", "d", "default", "dictsort", "first", "float", "groupby", "int", "items", "join",
    "last", "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "replace", "reverse", "round",
    "select", "selectattr", "sort", "string", "sum", "title", "trim", "truncate", "unique", "upper", "wordcount",
)
STRING_METHODS = frozenset((
    "capitalize", "casefold", "count", "endswith", "find", "isalnum", "isalpha", "isdecimal", "isdigit", "islower",
    "isnumeric", "isspace", "istitle", "isupper", "join", "lower", "lstrip", "partition", "removeprefix",
    "removesuffix", "replace", "rfind", "rpartition", "rsplit", "rstrip", "split", "splitlines", "startswith",
    "strip", "swapcase", "title", "upper",
))
# fmt: on


class Sandbox(ImmutableSandboxedEnvironment):
    """An environment for templates that are data.

    filters, names (Iterable[str]): jinja2's filters and global names that a template may use.
    **options: Of jinja2's environment.
    """

    intercepted_binops = frozenset({"*", "**", "%"})

    def __init__(self, filters: Iterable[str] = FILTERS, names: Iterable[str] = (), **options: Any) -> None:
        super().__init__(autoescape=False, **options)
        self.globals = {name: self.globals[name] for name in names}
        self.filters = {name: self.filters[name] for name in filters}

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """RETURNS (bool): Whether a template may read an attribute."""
        if isinstance(obj, str):
            return attr in STRING_METHODS
        return super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> None:
        """Treat `format` like other methods that are not allowed: a format can ask for text of any width."""
        return None

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """RETURNS (Any): The result for numbers. Texts can be multiplied and formatted to any size.
        RAISES (SecurityError): The operator is a power, or an operand is not a number.
        """
        if operator == "**" or not all(isinstance(value, (int, float)) for value in (left, right)):
            raise SecurityError(f"{operator} between {type(left).__name__} and {type(right).__name__}")
        return super().call_binop(context, operator, left, right)
