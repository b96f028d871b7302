"""jinja2's sandbox with lists of what is allowed instead of what is not, and with limits.

A template cannot make texts of any size from nothing, draw random numbers, or reach attributes. What it makes is
counted, and so is the time it takes: `limited` says how much there may be of both.
"""

import functools
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import GeneratorType
from typing import Any

from jinja2 import nodes
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
MAX_SECONDS = 1.0  # of the processor
# A character is one unit, an item of a list or a step of a loop several, as they take more memory. A template may make
# so much of nothing, and more for each unit that it is given.
MAX_UNITS, UNITS_PER_GIVEN = 2**24, 64
ITEM = 8
# Of a list with all lists inside of it: it is shown and compared with each as often as it occurs.
MAX_ITEMS = 2**18
MAX_STATEMENTS = 1000  # of a template; to compile many that are inside of each other takes long
MAX_BITS = 4096  # of a product of integers
SPLITTING = frozenset(("split", "rsplit", "splitlines"))
# Filters that write out all that they are given, however deep.
WRITING = frozenset(
    ("escape", "e", "pprint", "string", "tojson", "urlize", "title", "upper", "lower", "capitalize")
)


@dataclass
class _Left:
    units: int
    until: float


_LEFT: ContextVar[_Left | None] = ContextVar("left", default=None)


@contextmanager
def limited(given: int) -> Iterator[None]:
    """Limit what templates make and the time they take inside.

    given (int): Size of what the template is given, in characters.
    RAISES (SecurityError): From the template.
    """
    token = _LEFT.set(_Left(MAX_UNITS + UNITS_PER_GIVEN * given, time.thread_time() + MAX_SECONDS))
    try:
        yield
    finally:
        _LEFT.reset(token)


def spend(units: int) -> bool:
    """RETURNS (bool): True. RAISES (SecurityError): There are fewer units left, or no time."""
    left = _LEFT.get()
    if left is not None:
        left.units -= units
        if left.units < 0:
            raise SecurityError("it makes too much: more than what it is given explains")
        if time.thread_time() > left.until:
            raise SecurityError(f"it computes for more than {MAX_SECONDS:g} seconds")
    return True


def size_of(value: Any, most: int | None = None, *, texts: bool = True) -> int:
    """most (int | None): Stop counting there; None for what is left.
    texts (bool): Count characters, not only items.
    RETURNS (int): Units of a value with all that is inside, each as often as it occurs.
    RAISES (SecurityError): There are more.
    """
    left = _LEFT.get()
    most = most if most is not None else left.units if left is not None else MAX_UNITS
    todo, size = [value], 0
    while todo:
        part = todo.pop()
        if isinstance(part, str):
            size += len(part) if texts else 1
        elif isinstance(part, dict):
            todo += [*part.keys(), *part.values()]
        elif isinstance(part, (list, tuple, set, frozenset)):
            todo += part
        size += 1
        if size + len(todo) > most:
            raise SecurityError("it makes too much: a list holds more than what it is given explains")
    return size


def _charge(value: Any) -> Any:
    """RETURNS (Any): The value, of something that was just made; what a generator yields is counted one by one."""
    if isinstance(value, (str, bytes)):
        spend(len(value))
    elif isinstance(value, (list, tuple, dict, set, frozenset)):
        spend(ITEM * len(value))
    elif isinstance(value, GeneratorType):
        return (part for part in value if spend(ITEM))
    return value


def _expect_room(name: str, text: Any, args: tuple, kwargs: dict[str, Any]) -> None:
    """RAISES (SecurityError): The result of a filter or method would be too large; it is found before it is made."""
    if name == "replace" and len(args) >= 2:
        old, new = str(args[0]), str(args[1])
        spend(str(text).count(old) * len(new))
    elif name in SPLITTING or (name == "list" and isinstance(text, str)):
        spend(ITEM * len(str(text)))
    elif name == "wordwrap":
        spend(
            len(str(text))
            * (1 + max((len(x) for x in (*args, *kwargs.values()) if isinstance(x, str)), default=0))
        )
    elif name == "sum" and not all(
        isinstance(x, (int, float, str, type(None))) for x in (*args, *kwargs.values())
    ):
        raise SecurityError("a sum that starts with a list")
    elif name in WRITING:
        spend(size_of(text))


class Sandbox(ImmutableSandboxedEnvironment):
    """An environment for templates that are data.

    filters, names (Iterable[str]): jinja2's filters and global names that a template may use.
    **options: Of jinja2's environment.
    """

    intercepted_binops = frozenset({"*", "**", "%", "+"})

    def __init__(self, filters: Iterable[str] = FILTERS, names: Iterable[str] = (), **options: Any) -> None:
        super().__init__(autoescape=False, finalize=self.written, **options)
        self.globals = {name: self.globals[name] for name in names}
        self.filters = {name: self.counted(name, self.filters[name]) for name in filters}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        """RETURNS (Template): The tree, with steps that count before each statement. All of jinja2's ways lead here."""
        tree = super()._parse(source, name, filename)
        _count_statements(tree)
        return tree

    @staticmethod
    def counted(name: str, filter: Callable[..., Any]) -> Callable[..., Any]:
        """RETURNS (Callable): A filter whose results are counted."""
        at = 1 if hasattr(filter, "jinja_pass_arg") else 0  # after the context, where it is passed

        @functools.wraps(filter)
        def call(*args: Any, **kwargs: Any) -> Any:
            if name == "join" and len(args) > at:
                parts = list(args[at])
                between = len(str(args[at + 1] if len(args) > at + 1 else kwargs.get("d", "")))
                spend(size_of(parts) + between * len(parts))
                args = (*args[:at], parts, *args[at + 1 :])
            elif len(args) > at:
                _expect_room(name, args[at], args[at + 1 :], kwargs)
            return _charge(filter(*args, **kwargs))

        return call

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """RETURNS (bool): Whether a template may read an attribute."""
        if isinstance(obj, str):
            return attr in STRING_METHODS
        return super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> None:
        """Treat `format` like other methods that are not allowed: a format can ask for text of any width."""
        return None

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """RETURNS (Any): The result for numbers, and sums. Texts can be multiplied and formatted to any size.
        RAISES (SecurityError): The operator is a power, an operand is not a number, or the result is too large.
        """
        if operator == "+":
            if all(isinstance(value, (str, list, tuple)) for value in (left, right)):
                spend((1 if isinstance(left, str) else ITEM) * (len(left) + len(right)))
            return super().call_binop(context, operator, left, right)
        if operator == "**" or not all(isinstance(value, (int, float)) for value in (left, right)):
            raise SecurityError(f"{operator} between {type(left).__name__} and {type(right).__name__}")
        if (
            isinstance(left, int)
            and isinstance(right, int)
            and left.bit_length() + right.bit_length() > MAX_BITS
        ):
            raise SecurityError(f"{operator} between integers of thousands of digits")
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """RETURNS (Any): What a function or method returns, counted."""
        # What was inserted counts by itself.
        if __obj is __self.step or __obj is __self.made or __obj is __self.joined:
            return __obj(*args)
        text, name = getattr(__obj, "__self__", None), getattr(__obj, "__name__", "")
        if isinstance(text, str):
            if name == "join" and args:
                args = (list(args[0]),)
                spend(size_of(args[0]) + len(text) * len(args[0]))
            else:
                _expect_room(name, text, args, kwargs)
        elif __obj is dict or name == "dict":
            size_of([*args, kwargs], MAX_ITEMS, texts=False)
        return _charge(super().call(__context, __obj, *args, **kwargs))

    def getitem(self, obj: Any, argument: Any) -> Any:
        """RETURNS (Any): An item, or a part, which is counted."""
        found = super().getitem(obj, argument)
        return _charge(found) if isinstance(argument, slice) else found

    @staticmethod
    def written(value: Any) -> Any:
        """RETURNS (Any): What is written for the value of an expression, counted before it is made."""
        if isinstance(value, (list, tuple, dict, set, frozenset)):
            spend(size_of(value))
        elif isinstance(value, str):
            spend(len(value))
        return value

    @staticmethod
    def step(units: int) -> bool:
        """RETURNS (bool): True. Called before each statement and each item of a loop with a condition."""
        return spend(units)

    @staticmethod
    def made(value: Any) -> Any:
        """RETURNS (Any): A list, tuple or dict that the template has made, if it is no tree of copies."""
        spend(size_of(value, MAX_ITEMS, texts=False))
        return value

    @staticmethod
    def joined(*parts: Any) -> str:
        """RETURNS (str): What `~` makes of its operands."""
        spend(sum(len(part) if isinstance(part, str) else size_of(part) for part in parts))
        return "".join(map(str, parts))


def _call(name: str, *args: nodes.Expr) -> nodes.Call:
    return nodes.Call(nodes.EnvironmentAttribute(name), list(args), [], None, None)


def _count_statements(tree: nodes.Template) -> None:
    """Insert a step before each statement, with the characters that it writes, and count what expressions make."""
    statements = sum(1 for _ in tree.find_all(nodes.Stmt))
    if statements > MAX_STATEMENTS:
        raise SecurityError(f"it has {statements} statements, more than {MAX_STATEMENTS}")
    for node in list(tree.find_all(nodes.Node)):
        for field, value in list(node.iter_fields()):
            if isinstance(value, list) and field in ("body", "else_"):
                setattr(node, field, [part for statement in value for part in (_step(statement), statement)])
            elif isinstance(value, list):
                setattr(node, field, [_counted(part) for part in value])
            elif isinstance(value, nodes.Node):
                setattr(node, field, _counted(value))
        if isinstance(node, nodes.For):
            steps = _call("step", nodes.Const(ITEM))
            node.test = steps if node.test is None else nodes.And(steps, node.test)
    if tree.environment is not None:
        tree.set_environment(tree.environment)


def _step(statement: nodes.Node) -> nodes.Stmt:
    texts = statement.find_all(nodes.TemplateData) if isinstance(statement, nodes.Output) else ()
    units = ITEM + sum(len(text.data) for text in texts)
    return nodes.ExprStmt(_call("step", nodes.Const(units)), lineno=statement.lineno)


def _counted(node: Any) -> Any:
    """RETURNS (Any): An expression whose value is counted, for those that make something."""
    if isinstance(node, (nodes.List, nodes.Dict)) or (isinstance(node, nodes.Tuple) and node.ctx == "load"):
        return _call("made", node)
    if isinstance(node, nodes.Concat):
        return _call("joined", *node.nodes)
    return node
