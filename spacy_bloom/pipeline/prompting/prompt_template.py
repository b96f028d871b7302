"""Prompt templates: sandboxed Jinja2 over the contents of a Doc, rendered as text or as pieces.

Templates are written by the author of a pipeline, and filled with text from anybody. Neither can reach anything but
text, and a template that makes too much or computes for too long is stopped.
"""

import json
import re
import secrets
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, meta, nodes
from jinja2.sandbox import SecurityError

from ...errors import BloomError, ConfigError, InputError
from ...generation.batches import encode_prompts
from ...sandbox import Sandbox, limited
from ...settings import shown
from ...tokenizer import BloomTokenizerFast
from .doc_view import DocView, ExtensionsView, MappingView, SpanView, View, plain

# A prompt with more characters than this per allowed piece is refused before it is encoded.
MAX_CHARACTERS_PER_PIECE = 64

REFUSED = {
    nodes.Include: "include",
    nodes.Import: "import",
    nodes.FromImport: "import",
    nodes.Extends: "extends",
    nodes.ScopedEvalContextModifier: "autoescape",
}
VIEWS: dict[str, type[View]] = {"doc": DocView, "sent": SpanView, "span": SpanView}


class PromptEnvironment(Sandbox):
    """The sandbox with views of spaCy's objects."""

    def __init__(self) -> None:
        super().__init__(undefined=StrictUndefined, keep_trailing_newline=True)
        self.filters["tojson"] = self.counted("tojson", _to_json)  # jinja2's own is for HTML

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """RETURNS (bool): Whether a template may read an attribute."""
        if isinstance(obj, (View, MappingView)):
            return attr in obj.names
        if isinstance(obj, ExtensionsView):
            return not attr.startswith("_")
        return super().is_safe_attribute(obj, attr, value)


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=dict)


@lru_cache(maxsize=1)
def _environment() -> PromptEnvironment:
    return PromptEnvironment()


class PromptTemplate:
    """A Jinja2 template, checked when it is made.

    source (str): The template. Its text is kept as it is, including the last line break.
    variables (Sequence[str]): Names of its variables. `doc`, `sent` and `span` are views.
    special_tokens (bool): Read control tokens in the template's own text as control tokens. Those in variables and
        expressions are always ordinary text.
    RAISES (ConfigError): A syntax error, an unknown variable, or something that the sandbox does not allow.
    """

    def __init__(
        self, source: str, variables: Sequence[str] = ("doc",), *, special_tokens: bool = False
    ) -> None:
        if not isinstance(source, str):
            raise ConfigError(f"Expected the prompt as the text of a Jinja2 template, got {shown(source)}.")
        self.source, self.variables, self.special_tokens = source, tuple(variables), special_tokens
        self._compiled: dict[tuple[str, ...], tuple[Template, re.Pattern]] = {}
        self._compile(())

    def __reduce__(self) -> tuple[Any, tuple]:
        return _make, (self.source, self.variables, self.special_tokens)

    def render(self, *, max_characters: int | None = None, **values: Any) -> str:
        """
        max_characters (int | None): Maximum number of characters; rendering stops there.
        **values: The variables; spaCy's objects become views.
        RETURNS (str): The prompt, as ordinary text.
        RAISES (InputError): The template fails on these values, or the prompt is too long.
        """
        template, _ = self._compile(())
        return self._fill(template, values, max_characters)

    def encode(self, tokenizer: BloomTokenizerFast, *, max_pieces: int, **values: Any) -> list[int]:
        """Render and encode the prompt.

        max_pieces (int): Maximum number of pieces.
        RETURNS (list[int]): Ids.
        RAISES (InputError): As `render`, or the prompt has more pieces.
        """
        control = tuple(tokenizer.all_special_tokens) if self.special_tokens else ()
        template, marks = self._compile(control)
        prompt = self._fill(template, values, max_pieces * MAX_CHARACTERS_PER_PIECE)
        # Even places are texts, odd places numbers of control tokens.
        parts = marks.split(prompt) if control else [prompt]
        texts = encode_prompts(tokenizer, parts[::2])
        tokens = tokenizer.convert_tokens_to_ids([control[int(number)] for number in parts[1::2]])
        ids = [i for token, text in zip([None, *tokens], texts, strict=True) for i in _joined(token, text)]
        if len(ids) > max_pieces:
            raise _too_long(f"{len(ids)} pieces", f"{max_pieces}")
        return ids

    def _fill(self, template: Template, values: dict[str, Any], most: int | None) -> str:
        parts, length = [], 0
        try:
            given = {name: plain(value) for name, value in values.items()}
            size = sum(len(str(value)) for value in given.values() if isinstance(value, (str, View)))
            with limited(size):
                for part in template.generate(given):
                    parts.append(part)
                    length += len(part)
                    if most is not None and length > most:
                        raise _too_long(f"more than {most} characters", f"{most} characters")
        except BloomError:
            raise
        except Exception as error:  # a template can raise anything
            refused = "does something that is not allowed" if isinstance(error, SecurityError) else "fails"
            raise InputError(
                f"The prompt template {refused} on this Doc: {type(error).__name__}: {shown(str(error))}. "
                f"The template: {shown(self.source)}."
            ) from error
        return "".join(parts)

    def _compile(self, control: tuple[str, ...]) -> tuple[Template, re.Pattern]:
        """RETURNS (tuple[Template, Pattern]): The template with marks for these control tokens, and a pattern that
        finds their numbers. No text can contain a mark, because it is random.
        """
        if control not in self._compiled:
            environment, secret = _environment(), secrets.token_hex(16)
            try:
                with limited(len(self.source)):  # what is constant is computed now
                    tree = environment.parse(self.source)
                    _check(tree, self.variables)
                    _mark_control_tokens(tree, control, secret)
                    code = environment.compile(tree)
            except ConfigError:
                raise
            except Exception as error:  # including Python's errors about deep nesting
                line = f"line {error.lineno}: " if isinstance(error, TemplateSyntaxError) else ""
                raise ConfigError(
                    f"Expected the prompt to be a Jinja2 template, got {shown(self.source)}. {line}"
                    f"{shown(str(error))}. To write {{{{ as text, put it into {{% raw %}}."
                ) from error
            template = Template.from_code(environment, code, {})
            self._compiled[control] = template, re.compile(f"\ue000{secret}:([0-9]+)\ue001")
        return self._compiled[control]


def _make(source: str, variables: tuple[str, ...], special_tokens: bool) -> PromptTemplate:
    return PromptTemplate(source, variables, special_tokens=special_tokens)


def _joined(token: int | None, text: list[int]) -> list[int]:
    return text if token is None else [token, *text]


def _too_long(got: str, most: str) -> InputError:
    return InputError(
        f"Got a prompt of {got}, expected at most {most} (max_prompt_pieces). Prompt sentence by sentence "
        '(per = "sent"), take a part of the text ({{ doc.text[:2000] }}), or raise max_prompt_pieces.'
    )


def _check(tree: nodes.Template, variables: tuple[str, ...]) -> None:
    """RAISES (ConfigError): Errors that can be found without filling the template."""
    for kind, name in REFUSED.items():
        if tree.find(kind):
            raise ConfigError(f"Expected a self-contained prompt template, got {{% {name} %}} in it.")
    used = meta.find_undeclared_variables(tree)
    unknown = sorted(used.difference(variables))
    if unknown:
        raise ConfigError(
            f"Expected the prompt template to use {', '.join(variables)}, got {', '.join(map(shown, unknown))}. "
            '`sent` requires per = "sent", and `span` requires per = "span".'
        )
    for found in tree.find_all(nodes.Getattr):
        name = found.node.name if isinstance(found.node, nodes.Name) else ""
        view = VIEWS.get(name) if name in used else None
        if view is not None and found.attr not in view.names:
            raise ConfigError(
                f"Got {name}.{found.attr} in the prompt template; of {name} it can use {', '.join(view.names)}."
            )
        if found.attr.startswith("_") and found.attr != "_":
            raise ConfigError(
                f"Got .{found.attr} in the prompt template: names that begin with _ are not available."
            )


def _mark_control_tokens(tree: nodes.Template, control: tuple[str, ...], secret: str) -> None:
    if not control:
        return
    numbers = {token: i for i, token in enumerate(control)}
    # The longest first, as in the tokenizer.
    pattern = re.compile("|".join(map(re.escape, sorted(control, key=len, reverse=True))))
    for data in tree.find_all(nodes.TemplateData):
        data.data = pattern.sub(lambda m: f"\ue000{secret}:{numbers[m.group()]}\ue001", data.data)
