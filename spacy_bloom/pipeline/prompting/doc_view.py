"""What a prompt template sees of a Doc: read-only views of plain data and other views.

spaCy's own objects are hidden: `vocab`, `to_disk` and the whole pipeline can be reached from any of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from numbers import Real
from typing import Any, ClassVar

import numpy
from spacy.tokens import Doc, Span, SpanGroup, Token

from ...errors import InputError


class View:
    """Exposes part of a spaCy object.

    names (tuple[str, ...]): The attributes that a template may read.
    """

    names: ClassVar[tuple[str, ...]] = ("text", "ents", "_")

    def __init__(self, shown: Any) -> None:
        self._shown = shown

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return repr(self.text)  # in a list; without an address, so that prompts are the same in every run

    @property
    def text(self) -> str:
        """RETURNS (str): The text."""
        return self._shown.text

    @property
    def ents(self) -> tuple["SpanView", ...]:
        """RETURNS (tuple[SpanView, ...]): The entities."""
        return tuple(map(SpanView, self._shown.ents))

    @property
    def _(self) -> "ExtensionsView":
        """RETURNS (ExtensionsView): The extension attributes."""
        return ExtensionsView(self._shown._)


class DocView(View):
    """A Doc."""

    names = (*View.names, "sents", "spans", "cats", "user_data")

    @property
    def sents(self) -> tuple["SpanView", ...]:
        """RETURNS (tuple[SpanView, ...]): The sentences.
        RAISES (ValueError): Sentence boundaries are not set.
        """
        return tuple(map(SpanView, self._shown.sents))

    @property
    def spans(self) -> "MappingView":
        """RETURNS (MappingView): Tuples of spans, by key."""
        return MappingView(dict(self._shown.spans))

    @property
    def cats(self) -> "MappingView":
        """RETURNS (MappingView): Scores by label."""
        return MappingView(self._shown.cats)

    @property
    def user_data(self) -> "MappingView":
        """RETURNS (MappingView): Entries with string keys; extensions, whose keys are tuples, are in `doc._`."""
        return MappingView({k: v for k, v in self._shown.user_data.items() if isinstance(k, str)})


class SpanView(View):
    """A Span: an entity, a sentence, a span of a group."""

    names = (*View.names, "label_", "start_char", "end_char", "sent")

    @property
    def label_(self) -> str:
        """RETURNS (str): The label."""
        return self._shown.label_

    @property
    def start_char(self) -> int:
        """RETURNS (int): Start offset in the Doc's text."""
        return self._shown.start_char

    @property
    def end_char(self) -> int:
        """RETURNS (int): End offset in the Doc's text."""
        return self._shown.end_char

    @property
    def sent(self) -> "SpanView":
        """RETURNS (SpanView): Its sentence.
        RAISES (ValueError): Sentence boundaries are not set.
        """
        return SpanView(self._shown.sent)


class ExtensionsView:
    """The values of extension attributes, without methods."""

    def __init__(self, shown: Any) -> None:
        self._shown = shown

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not self._shown.has(name):
            raise AttributeError(name)
        return plain(self._shown.get(name))


class MappingView(Mapping):
    """A mapping whose values become views when they are read."""

    names: ClassVar[tuple[str, ...]] = ("get", "items", "keys", "values")

    def __init__(self, shown: Mapping) -> None:
        self._shown = shown

    def __getitem__(self, key: Any) -> Any:
        return plain(self._shown[key])

    def __iter__(self) -> Iterator:
        return iter(self._shown)

    def __len__(self) -> int:
        return len(self._shown)

    def __repr__(self) -> str:
        return repr(dict(self))


def plain(value: Any) -> Any:
    """Convert a value for a template.

    RETURNS (Any): Text, numbers, booleans and None unchanged; views of spaCy's objects and of mappings; tuples.
    RAISES (InputError): Any other type.
    """
    if isinstance(value, (Doc, Span, Token)):
        return DocView(value) if isinstance(value, Doc) else SpanView(_as_span(value))
    if isinstance(value, numpy.generic):
        return plain(value.item())
    if isinstance(value, str):
        return str(value)
    if value is None or isinstance(value, (bool, Real, View, MappingView)):
        return value
    if isinstance(value, Mapping):
        return MappingView(value)
    if isinstance(value, (Sequence, set, frozenset, SpanGroup)) and not isinstance(value, (bytes, bytearray)):
        return tuple(map(plain, value))
    raise InputError(
        f"Got a value of type {type(value).__name__} where a prompt template asks for data. Expected text, numbers, "
        "lists, dicts, or spaCy's Docs, Spans and Tokens: put what the prompt needs into an extension attribute."
    )


def _as_span(value: Span | Token) -> Span:
    return value if isinstance(value, Span) else value.doc[value.i : value.i + 1]
