"""Templates, regular expressions and JSON schemas that reach for more than they are given, or grow without end."""

import json
from pathlib import Path
from random import Random
from typing import Any

import spacy

from spacy_bloom import BloomTokenizerFast
from spacy_bloom.generation.constraints.grammar import Grammar
from spacy_bloom.generation.piece_bytes import PieceBytes
from spacy_bloom.pipeline.prompting.prompt_template import PromptTemplate

from .checkpoints import tokenizer
from .mutate import NUMBERS, TEXTS, mutate_bytes, mutate_value, several

MAX_SECONDS = 2.0
# Ways out of Jinja2's sandbox that are known, and their parts.
WAYS_OUT = (
    "''.__class__",
    "''['__class__']",
    "''|attr('__class__')",
    "x.__class__.__mro__[1].__subclasses__()",
    "self",
    "self._TemplateReference__context",
    "cycler.__init__.__globals__",
    "joiner.__init__.__globals__.os",
    "namespace.__init__.__globals__['__builtins__']",
    "lipsum.__globals__['os']",
    "range.__class__",
    "dict.mro()",
    "dict.fromkeys('a')",
    "x.format(x)",
    "'{0.__class__}'.format(x)",
    "x.format_map({'a': x})",
    "x|format(x)",
    "x.encode().decode",
    "[x]|map(attribute='__class__')|list",
    "[x]|map('attr', '__class__')|list",
    "[x]|groupby('__class__')|list",
    "[x]|sort(attribute='__class__')",
    "[x]|sum(attribute='__class__.__mro__')",
    "[x]|unique(attribute='__doc__')|list",
    "[x]|selectattr('__class__')|list",
    "[x]|min(attribute='__init__')",
    "request",
    "config",
    "url_for.__globals__",
    "get_flashed_messages",
    "().__class__.__bases__[0]",
    "caller",
    "loop",
    "x['__init__']['__globals__']",
    "x|tojson|attr('__class__')",
    "raise_exception.__globals__",
    "strftime_now.__globals__",
    "strftime_now('%999999999d' )",
    "messages.__class__",
    "messages.append(1)",
    "messages.clear()",
    "messages[0].update({'a': 1})",
    "messages[0].__setitem__('a', 1)",
    "doc.vocab",
    "doc.to_disk('x')",
    "doc._.__class__",
    "doc['_shown']",
    "doc.user_data.__class__",
    "doc.ents[0].doc",
    "x.__format__('9999999999')",
    "x.translate({})",
)
# What grows, or takes long.
GROWING = (
    "{{% set v = v ~ v %}}",
    "{{% set v = v + v %}}",
    "{{% set v = v|replace('a', v) %}}",
    "{{% set v = [v, v] %}}",
    "{{% set v = (v, v) %}}",
    "{{% set v = {{'a': v, 'b': v}} %}}",
    "{{% set v = v|join(v) %}}",
    "{{% set v = v.join(v) %}}",
    "{{% set v = v|list + v|list %}}",
    "{{% set v = v|string ~ v|string %}}",
    "{{% set v = v|tojson ~ v|tojson %}}",
    "{{% set v = n * n %}}{{% set n = v %}}",
    "{{% set n = n * n %}}",
    "{{% set v %}}{{{{ v }}}}{{{{ v }}}}{{% endset %}}",
    "{{% set v = v.split('') %}}",
    "{{% set v = dict(a=v, b=v) %}}",
    "{{% set v = v.replace('a', v) %}}",
    "{{% set v = v|upper ~ v|title %}}",
    "{{% set v = [v]|sum(start=[v]) %}}",
    "{{{{ v }}}}",
    "{{% for i in v %}}{body}{{% endfor %}}",
    "{{% for i in range(99999) %}}{body}{{% endfor %}}",
    "{{% for i in v if i %}}{body}{{% endfor %}}",
    "{{% for i in v recursive %}}{{{{ loop(v) }}}}{body}{{% endfor %}}",
    "{{% macro f() %}}{body}{{{{ f() }}}}{{{{ f() }}}}{{% endmacro %}}{{{{ f() }}}}",
    "{{% macro g() %}}{body}{body}{{% endmacro %}}{{{{ g() }}}}{{{{ g() }}}}",
    "{{{{ range(99999)|list }}}}",
    "{{{{ range(99999)|map('string')|join(v) }}}}",
    "{{% filter upper %}}{body}{{% endfilter %}}",
    "{{% call f() %}}{body}{{% endcall %}}",
    "{{% set ns.v = ns.v ~ ns.v %}}",
    "{{% set ns.v = [ns.v, ns.v] %}}",
    "{{{{ v == [v] }}}}",
    "{{{{ v in v }}}}",
    "{{{{ v|sort|join }}}}",
    "{{{{ v|wordwrap(1, wrapstring=v) }}}}",
    "{{{{ v|indent(99999) }}}}",
    "{{{{ v|tojson(indent=99) }}}}",
    "{{{{ v|pprint }}}}",
    "{{% if v %}}{body}{{% endif %}}",
    "{{{{ v[::-1] ~ v[1:] }}}}",
    "{{{{ v|truncate(9999999) }}}}",
    "{{{{ {way} }}}}",
    "{{% set v = {way} %}}",
    "{{% for i in {way} %}}{body}{{% endfor %}}",
    "{{{{ x|{name}({way}) }}}}",
    "{{% if {way} %}}{body}{{% endif %}}",
)
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20, "pattern": "^[a-z]+$"},
        "n": {"type": "integer", "minimum": 0, "maximum": 9},
        "list": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 1, "maxItems": 3},
        "r": {"$ref": "#/$defs/r"},
    },
    "required": ["name"],
    "additionalProperties": False,
    "$defs": {
        "r": {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"r": {"$ref": "#/$defs/r"}}}]}
    },
}
FILTER_NAMES = (
    "attr",
    "map",
    "format",
    "center",
    "xmlattr",
    "batch",
    "slice",
    "replace",
    "sort",
    "random",
    "urlize",
    "safe",
    "forceescape",
)
FIXED = "{% set ns = namespace(v='ab') %}{% set v = 'ab' %}{% set n = 3 %}"


def template(random: Random, depth: int = 0) -> str:
    """RETURNS (str): A template of ways out and of what grows."""
    parts = []
    for _ in range(random.choice((1, 2, 3, 5)) if depth == 0 else random.choice((1, 2, 3))):
        part = random.choice(GROWING)
        body = template(random, depth + 1) if "{body}" in part and depth < 4 else "{{ v }}"
        part = part.format(body=body, way=random.choice(WAYS_OUT), name=random.choice(FILTER_NAMES))
        parts.append(part * random.choice((1, 1, 1, 1, 1, 1, 3, 30)) if depth < 1 else part)
    return "".join(parts)[:50_000]


class Templates:
    """Chat templates in `apply_chat_template`."""

    name, weight, most_seconds = "chat templates", 10.0, MAX_SECONDS

    def prepare(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._tokenizer: BloomTokenizerFast = tokenizer()
        self._chat: list[dict[str, Any]] = [
            {"role": "user", "content": "ab ab"},
            {"role": "assistant", "content": "b"},
        ]
        self._source = "{{ messages }}"

    def write(self, folder: Path, random: Random) -> None:
        source = FIXED + template(random)
        if random.random() < 0.15:
            source = mutate_bytes(random, source.encode(), several(random)).decode("utf8", "replace")
        self._source = source
        (folder / "template").write_text(source, "utf8", "surrogatepass")

    def read(self, folder: Path) -> None:
        before = json.dumps(self._chat)
        try:
            text = self._tokenizer.apply_chat_template(self._chat, chat_template=self._source, tokenize=False)
        finally:
            assert json.dumps(self._chat) == before, "the messages were changed"
        assert isinstance(text, str)
        assert not any(
            word in text for word in ("<class '", "<function ", "<module ", "<built-in", "object at 0x")
        ), "it reached an object"


class Prompts(Templates):
    """Prompt templates over Docs."""

    name, weight = "prompt templates", 10.0

    def prepare(self, folder: Path) -> None:
        super().prepare(folder)
        self._doc = spacy.blank("xx")("ab ab, a text")
        self._doc.user_data["a"] = ["b"]

    def write(self, folder: Path, random: Random) -> None:
        super().write(folder, random)
        self._source = (
            self._source.replace("namespace(v='ab')", "'ab'").replace("messages", "doc").replace("x", "doc")
        )

    def read(self, folder: Path) -> None:
        made = PromptTemplate(self._source)
        text = made.render(doc=self._doc, max_characters=200_000)
        assert not any(
            word in text for word in ("<class '", "<function ", "<module ", "<built-in", "object at 0x")
        ), "it reached an object"


class Regexes:
    """Regular expressions as constraints."""

    name, weight, most_seconds = "regular expressions", 6.0, MAX_SECONDS
    ATOMS = (
        "a",
        ".",
        r"\w",
        r"\d",
        "[^x]",
        "(a|aa)",
        "(a|a)*",
        "(?:a+)+",
        "(.*)*",
        r"\p{L}",
        r"\X",
        r"\b",
        "(?=a)",
        r"\1",
        "[a-\U0010ffff]",
        "(?i)ß",
        "(?R)",
        "(?P<n>a)",
        "(?#x)",
        "[[:alpha:]]",
        "é",
        "\x00",
        "\ud800",
        "a" * 300,
        "(",
        "[",
        "\\",
        "^",
        "$",
        "(?s:.)",
        "&",
        "~(a)",
        "<",
        "/",
        '"',
        "\n",
    )
    COUNTS = (
        "*",
        "+",
        "?",
        "{3}",
        "{1000}",
        "{100000}",
        "{0,99999}",
        "{999999999999}",
        "{,}",
        "*+",
        "{1,1000}",
        "{2000,}",
        "{-1}",
        "",
        "",
        "",
    )

    def prepare(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._pieces = PieceBytes(tokenizer())
        self._source, self._schema = "a", SCHEMA

    def write(self, folder: Path, random: Random) -> None:
        self._source = self._expression(random)
        (folder / "regex").write_text(self._source, "utf8", "surrogatepass")

    def _expression(self, random: Random, depth: int = 0) -> str:
        parts = []
        for _ in range(random.choice((1, 2, 4))):
            inner = (
                f"({self._expression(random, depth + 1)})"
                if depth < 5 and random.random() < 0.4
                else random.choice(self.ATOMS)
            )
            parts.append(inner + random.choice(self.COUNTS))
        return random.choice(("", "|")).join(parts)[:20_000]

    def read(self, folder: Path) -> None:
        self._use(Grammar.from_regex(self._source, self._pieces, 2))

    def _use(self, grammar: Grammar) -> None:
        ids: list[int] = []
        for _ in range(8):
            state = grammar._states(ids)
            pieces = [] if state is None else [int(i) for i in grammar._legal(state, len(ids)) if i != 2]
            if not pieces:
                break
            ids.append(pieces[len(pieces) // 2])


class Schemas(Regexes):
    """JSON schemas as constraints."""

    name, weight = "JSON schemas", 6.0
    NAMES = (
        "allOf",
        "anyOf",
        "oneOf",
        "not",
        "$ref",
        "pattern",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "uniqueItems",
        "multipleOf",
        "minimum",
        "format",
        "patternProperties",
        "additionalProperties",
        "enum",
        "const",
        "if",
        "then",
        "prefixItems",
        "x-guidance",
        "type",
        "$defs",
        "required",
    )

    def write(self, folder: Path, random: Random) -> None:
        schema = mutate_value(random, SCHEMA, self.NAMES, several(random))
        if random.random() < 0.4 and isinstance(schema, dict):
            schema.update(self._exploding(random))
        self._schema = (
            schema if len(json.dumps(schema)) < 500_000 else {"enum": [json.dumps(schema)[:500_000]]}
        )
        schema = self._schema
        (folder / "schema.json").write_text(json.dumps(schema), "utf8", "surrogatepass")

    def _exploding(self, random: Random) -> dict[str, Any]:
        number = random.choice((3, 50, 3000, 10**5, *[n for n in NUMBERS if isinstance(n, int)]))
        count = min(abs(number), 200)
        part: Any = (
            self._exploding(random) if random.random() < 0.3 else {"type": "string", "maxLength": number}
        )
        return random.choice(
            (
                {"type": "array", "items": part, "minItems": number},
                {"type": "array", "items": part, "maxItems": number},
                {"type": "string", "minLength": number},
                {"type": "string", "pattern": self._expression(random)},
                {"allOf": [{"anyOf": [part, {"maxLength": i}]} for i in range(min(count, 50))]},
                {"anyOf": [part] * count},
                {"oneOf": [{"const": i} for i in range(count)]},
                {"enum": [f"{i}" * 20 for i in range(count)]},
                {"type": "object", "properties": {f"p{i}": part for i in range(min(count, 50))}},
                {
                    "$ref": random.choice(
                        (
                            "#",
                            "#/$defs/r",
                            "http://localhost/x",
                            "file:///etc/passwd",
                            "#/$defs/none",
                            *TEXTS[:9],
                        )
                    )
                },
                {"type": "integer", "minimum": -abs(number), "maximum": abs(number)},
                {"type": "number", "multipleOf": random.choice((0, 1e-9, 7, number))},
            )
        )

    def read(self, folder: Path) -> None:
        self._use(Grammar.from_json_schema(self._schema, self._pieces, 2))


KINDS = (Templates, Prompts, Regexes, Schemas)
