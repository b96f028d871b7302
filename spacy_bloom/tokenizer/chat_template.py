"""Chat templates: sandboxed Jinja2 over messages, and which characters of the result are whose. Imported when the first
one is rendered, as Jinja2 takes a tenth of a second.
"""

import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, TemplateSyntaxError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import SecurityError

from ..errors import InputError
from ..sandbox import FILTERS, Sandbox, limited
from ..settings import shown
from .chat_text import Rendered

MAX_INDENT = 100
MAX_FORMAT = 1000
MAX_GIVEN = 10**6  # values of which the size is taken
NAMES = ("range", "namespace", "dict", "cycler", "joiner")
# No text can contain a mark, because it is random.
SECRET = secrets.token_hex(16)
MARK = re.compile(f"\ue000{SECRET}:(start|end|[0-9]+)\ue001")


class GenerationTag(Extension):
    """`{% generation %}` around what an assistant wrote. SOURCE: transformers' tag."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """RETURNS (list[Node]): The tag's content between two marks."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        start, end = (nodes.Output([nodes.TemplateData(mark(name))]) for name in ("start", "end"))
        return [nodes.Scope([start, *body, end]).set_lineno(line)]


class ChatEnvironment(Sandbox):
    """The sandbox with what chat templates use. SOURCE: transformers' options and names."""

    def __init__(self) -> None:
        super().__init__(
            [*FILTERS, "e", "escape", "pprint", "safe", "wordwrap"],
            NAMES,
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[GenerationTag, "jinja2.ext.loopcontrols"],
        )
        self.filters["tojson"] = self.counted("tojson", _to_json)
        self.filters["indent"] = self.counted("indent", _indent)
        self.globals["raise_exception"] = _raise_exception
        self.globals["strftime_now"] = _strftime_now


def mark(name: str | int) -> str:
    """RETURNS (str): A mark to be found in the rendered text."""
    return f"\ue000{SECRET}:{name}\ue001"


def _to_json(
    x: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    options = {"ensure_ascii": ensure_ascii, "separators": separators, "sort_keys": sort_keys}
    return json.dumps(x, indent=None if indent is None else min(indent, MAX_INDENT), **options)  # type: ignore[arg-type]


def _indent(text: str, width: int = 4, first: bool = False, blank: bool = False) -> str:
    space = " " * min(int(width), MAX_INDENT)
    lines = text.split("\n")
    return "\n".join(
        space + line if (i or first) and (line or blank) else line for i, line in enumerate(lines)
    )


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def _strftime_now(format: str) -> str:
    return datetime.now().strftime(format[:MAX_FORMAT])


@lru_cache(maxsize=1)
def _environment() -> ChatEnvironment:
    return ChatEnvironment()


@lru_cache(maxsize=16)
def _compile(source: str, control: tuple[str, ...]) -> Template:
    environment = _environment()
    try:
        with limited(len(source)):  # what is constant is computed now
            tree = environment.parse(source)
            _mark_control_tokens(tree, control)
            code = environment.compile(tree)
    except Exception as error:  # including Python's errors about deep nesting
        line = f"line {error.lineno}: " if isinstance(error, TemplateSyntaxError) else ""
        raise InputError(
            f"Expected a Jinja2 chat template, got {shown(source)}. {line}{shown(str(error))}."
        ) from error
    return Template.from_code(environment, code, dict(environment.globals))


def render(source: str, values: Mapping[str, Any], control: Sequence[str] = ()) -> Rendered:
    """source (str): The template.
    values (Mapping[str, Any]): Its variables; those whose value is a control token are the template's own text.
    control (Sequence[str]): Control tokens to find in the template's own text.
    RETURNS (Rendered): The chat.
    RAISES (InputError): The template fails, or does what is not allowed.
    """
    template = _compile(source, tuple(control))
    places = {token: mark(i) for i, token in enumerate(control)}
    variables = {k: places.get(v, v) if isinstance(v, str) else v for k, v in values.items()}
    try:
        with limited(_size_of(variables)):
            text = "".join(template.generate(variables))
    except Exception as error:  # a template can raise anything
        refused = "does something that is not allowed" if isinstance(error, SecurityError) else "fails"
        raise InputError(
            f"The chat template {refused} on these messages: {type(error).__name__}: {shown(str(error))}."
        ) from error
    return _read_marks(text, control)


def _size_of(values: Any) -> int:
    """RETURNS (int): Characters of all texts in what a template is given, which has no cycles if it is JSON."""
    todo, size, seen = [values], 0, 0
    while todo and seen < MAX_GIVEN:
        part = todo.pop()
        seen += 1
        if isinstance(part, str):
            size += len(part)
        elif isinstance(part, Mapping):
            todo += part.values()
        elif isinstance(part, (list, tuple)):
            todo += part
    return size + seen


def _read_marks(text: str, control: Sequence[str]) -> Rendered:
    found, parts, length, starts = Rendered(""), [], 0, []
    # Even places are texts, odd places names of marks.
    for i, part in enumerate(MARK.split(text)):
        if i % 2 and part == "start":
            starts.append(length)
        elif i % 2 and part == "end":
            found.generated.append((starts.pop(), length) if starts else (length, length))
        else:
            written = control[int(part)] if i % 2 else part
            if i % 2:
                found.control.append((length, length + len(written)))
            parts.append(written)
            length += len(written)
    found.text = "".join(parts)
    return found


def _mark_control_tokens(tree: nodes.Template, control: tuple[str, ...]) -> None:
    if not control:
        return
    numbers = {token: i for i, token in enumerate(control)}
    # The longest first, as in the tokenizer.
    pattern = re.compile("|".join(map(re.escape, sorted(control, key=len, reverse=True))))
    for data in tree.find_all(nodes.TemplateData):
        data.data = pattern.sub(lambda m: mark(numbers[m.group()]), data.data)
    for const in _written_constants(tree):
        const.value = pattern.sub(lambda m: mark(numbers[m.group()]), const.value)


def _written_constants(tree: nodes.Template) -> Iterator[nodes.Const]:
    """Texts in expressions that are written as they are: not those that are compared, or arguments."""
    expressions: list[Any] = [node for output in tree.find_all(nodes.Output) for node in output.nodes]
    expressions += [assignment.node for assignment in tree.find_all(nodes.Assign)]
    while expressions:
        node = expressions.pop()
        if isinstance(node, nodes.Const) and isinstance(node.value, str):
            yield node
        elif isinstance(node, nodes.Add):
            expressions += [node.left, node.right]
        elif isinstance(node, nodes.Concat):
            expressions += node.nodes
        elif isinstance(node, nodes.CondExpr):
            expressions += [node.expr1, node.expr2]
