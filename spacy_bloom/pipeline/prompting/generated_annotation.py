"""What generated texts may be, what is read from them, and where it is written on a Doc."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from spacy.tokens import Doc, Span
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from ...errors import ConfigError, InputError
from ...generation.batches import GeneratedSequence
from ...generation.constraints.base import Constraint
from ...generation.constraints.byte_spans import Choice, VerbatimSpan
from ...generation.constraints.grammar import Grammar
from ...generation.piece_bytes import PieceBytes
from ...settings import shown
from ...tokenizer import BloomTokenizerFast
from ..base.spans import without_overlap

Unit = Doc | Span  # what a prompt is about


@dataclass(frozen=True)
class Ending:
    """How a constrained text is spelled and ends.

    pieces (PieceBytes): The bytes of the vocabulary's pieces.
    eos_token_id (int): The control token that ends a text.
    max_new_tokens (int): Pieces that a text may have.
    leading_space (bool): Whether a space comes before the text.
    """

    pieces: PieceBytes
    eos_token_id: int
    max_new_tokens: int
    leading_space: bool


class Annotation(ABC):
    """What becomes of generated texts. By default they are free, and written as they are.

    of_each_unit (bool): Whether every unit has a constraint of its own.
    """

    of_each_unit = False

    def applies(self, unit: Unit) -> bool:
        """RETURNS (bool): Whether anything could be generated for a unit."""
        return True

    def constraint(self, unit: Unit, ending: Ending) -> Constraint | None:
        """RETURNS (Constraint | None): What the text must be; None if anything.
        RAISES (InputError): No text can be that.
        """
        return None

    def read(self, unit: Unit, sequence: GeneratedSequence, constraint: Constraint | None) -> list[Any]:
        """RETURNS (list[Any]): What to write, one value; none if the text is not legal."""
        return [sequence.text]

    def prepare(self, doc: Doc) -> None:
        """Make the place where values are written, so that it is there if there are none."""
        return None

    @abstractmethod
    def write(self, unit: Unit, value: Any) -> None:
        """Write a value. It is a list of them where several sequences are asked for."""


class ExtensionText(Annotation):
    """The text, up to a stop string, in an extension attribute.

    attr (str): Its name.
    stops (Sequence[str]): The stop strings.
    """

    def __init__(self, attr: str, stops: Sequence[str] = ()) -> None:
        self.attr = attr
        self.stops = tuple(stops)

    def read(self, unit: Unit, sequence: GeneratedSequence, constraint: Constraint | None) -> list[Any]:
        return [sequence.text_before(self.stops)]

    def write(self, unit: Unit, value: Any) -> None:
        unit._.set(self.attr, value)


class ExtensionGrammar(ExtensionText):
    """What a text that matches a grammar says, in an extension attribute.

    attr (str): Its name.
    make (Callable): Makes the grammar: (pieces, eos_token_id, leading_space) -> Grammar.
    parse (Callable): Text to value.
    """

    def __init__(self, attr: str, make: Callable[..., Grammar], parse: Callable[[str], Any]) -> None:
        super().__init__(attr)
        self._make, self._parse = make, parse
        # Where there is no other vocabulary yet: what it says of the grammar, it says for all.
        pieces = PieceBytes(_smallest_tokenizer())
        try:
            make(pieces, min(pieces.control), leading_space=False)
        except InputError as error:
            raise ConfigError(f"The component's constraint: {error}") from error
        self._made = _Made(self._grammar)

    def constraint(self, unit: Unit, ending: Ending) -> Constraint | None:
        return self._made(ending)

    def read(self, unit: Unit, sequence: GeneratedSequence, constraint: Constraint | None) -> list[Any]:
        text = None if constraint is None else constraint.text_of(sequence.pieces)
        try:
            return [] if text is None else [self._parse(text)]
        except (ValueError, RecursionError):  # legal JSON that Python cannot hold, or spaCy not save
            return []

    def _grammar(self, ending: Ending) -> Grammar:
        return self._make(ending.pieces, ending.eos_token_id, leading_space=ending.leading_space)


class Category(Annotation):
    """One of some labels, in doc.cats: 1 for it, 0 for the others.

    labels (Sequence[str]): The labels.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = tuple(labels)
        self._made = _Made(self._choice)

    def constraint(self, unit: Unit, ending: Ending) -> Constraint | None:
        return self._made(ending)

    def read(self, unit: Unit, sequence: GeneratedSequence, constraint: Constraint | None) -> list[Any]:
        text = None if constraint is None else constraint.text_of(sequence.pieces)
        return [] if text is None else [text]

    def write(self, unit: Unit, value: Any) -> None:
        _doc(unit).cats.update({label: float(label == value) for label in self.labels})

    def _choice(self, ending: Ending) -> Choice:
        options: dict[str, Any] = {
            "leading_space": ending.leading_space,
            "max_new_tokens": ending.max_new_tokens,
        }
        for label in self.labels:  # one that has no time to be spelled would never be chosen
            try:
                Choice([label], ending.pieces, ending.eos_token_id, **options)
            except InputError as error:
                raise ConfigError(f"The label {shown(label)} can never be chosen. {error}") from error
        return Choice(self.labels, ending.pieces, ending.eos_token_id, **options)


class VerbatimSpans(Annotation):
    """A span of the unit's own text, on token boundaries, as an entity or in a group of spans.

    Spans neither begin nor end with space. Entities that stand on the Doc stay, and what overlaps them is left out;
    so is a span that stands in the group already.

    label (str): Of the spans.
    spans_key (str | None): The group, doc.spans[spans_key]; None for doc.ents.
    every (bool): Annotate all places where the text stands; else the first.
    """

    of_each_unit = True

    def __init__(self, label: str, spans_key: str | None, *, every: bool) -> None:
        self.label, self.spans_key, self.every = label, spans_key, every

    def applies(self, unit: Unit) -> bool:
        return any(not token.is_space for token in unit)

    def constraint(self, unit: Unit, ending: Ending) -> Constraint | None:
        start = _start(unit)
        offsets = [(t.idx - start, t.idx - start + len(t)) for t in unit if not t.is_space]
        return VerbatimSpan(
            unit.text,
            ending.pieces,
            ending.eos_token_id,
            tokens=offsets,
            leading_space=ending.leading_space,
            max_new_tokens=ending.max_new_tokens,
        )

    def read(self, unit: Unit, sequence: GeneratedSequence, constraint: Constraint | None) -> list[Any]:
        if not isinstance(constraint, VerbatimSpan):
            return []
        places = constraint.occurrences(sequence.pieces)
        start = _start(unit)
        found = [(a + start, b + start) for a, b in places[: None if self.every else 1]]
        return [found] if found else []

    def prepare(self, doc: Doc) -> None:
        if self.spans_key is not None and self.spans_key not in doc.spans:
            doc.spans[self.spans_key] = []

    def write(self, unit: Unit, value: Any) -> None:
        doc = _doc(unit)
        spans = [doc.char_span(start, end, label=self.label) for start, end in value]
        found = [span for span in spans if span is not None]  # all are: the constraint ends where tokens do
        if self.spans_key is None:
            doc.set_ents(without_overlap([*doc.ents, *found]), default="unmodified")
            return
        group = doc.spans[self.spans_key]
        group.extend([span for span in found if span not in group])


class _Made:
    """Constraints that are the same for all units: made once for each way that texts end.

    make (Callable[[Ending], Constraint]): Makes one.
    """

    def __init__(self, make: Callable[[Ending], Constraint]) -> None:
        self._make = make
        self._made: dict[bool, tuple[Ending, Constraint]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_made": {}}  # grammars cannot be pickled

    def __call__(self, ending: Ending) -> Constraint:
        """RETURNS (Constraint): The one for this ending."""
        known = self._made.get(ending.leading_space)
        if known is None or known[0] != ending:  # another tokenizer has been loaded
            known = self._made[ending.leading_space] = ending, self._make(ending)
        return known[1]


def _doc(unit: Unit) -> Doc:
    return unit if isinstance(unit, Doc) else unit.doc


def _start(unit: Unit) -> int:
    return 0 if isinstance(unit, Doc) else unit.start_char


def _smallest_tokenizer() -> BloomTokenizerFast:
    """RETURNS (BloomTokenizerFast): One whose pieces are the bytes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({byte: i for i, byte in enumerate(alphabet)}, []))
    backend.decoder = decoders.ByteLevel()
    return BloomTokenizerFast(backend)


def read_json(text: str) -> Any:
    """RETURNS (Any): What JSON says.
    RAISES (ValueError): It has numbers that are no numbers here, or half a surrogate pair, which cannot be saved.
    """
    value = json.loads(text)
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf8")
    return value


FIELDS: dict[str, dict[str, Any]] = {
    "choice": {"labels": None},
    "spans": {"label": None, "target": "ents", "spans_key": None, "occurrences": "all"},
    "json": {"schema": None, "whitespace": False},
    "regex": {"pattern": None},
}


def check_constraint(settings: Mapping[str, Any]) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): The fields of a component's constraint, with their defaults.
    RAISES (ConfigError): A field is missing, unknown, or not what it should be.
    """
    kind = settings.get("type") if isinstance(settings, Mapping) else None
    if not isinstance(kind, str) or kind not in FIELDS:
        raise ConfigError(
            f"Expected constraint to be null or to have a type, one of {', '.join(FIELDS)}; got {shown(settings)}."
        )
    known = {"leading_space": None, **FIELDS[kind]}
    unknown = [name for name in settings if name not in (*known, "type")]
    if unknown:
        raise ConfigError(
            f"A constraint of type {kind!r} has the settings {', '.join(known)}; got {shown(unknown)}."
        )
    fields = {**known, **settings}
    text = "a text that is not empty"
    _expect(fields, "leading_space", fields["leading_space"] in (True, False, None), "true, false or null")
    if kind == "choice":
        labels = fields["labels"]
        good = isinstance(labels, (list, tuple)) and labels and all(map(_is_text, labels))
        _expect(
            fields,
            "labels",
            good and len(set(labels)) == len(labels),
            "a list of different texts, none empty",
        )
    elif kind == "spans":
        _expect(fields, "label", _is_text(fields["label"]), text)
        _expect(fields, "target", fields["target"] in ("ents", "spans"), '"ents" or "spans"')
        in_spans = fields["target"] == "spans"
        good = _is_text(fields["spans_key"]) if in_spans else fields["spans_key"] is None
        _expect(fields, "spans_key", good, f'{text} with target "spans", and null with target "ents"')
        _expect(fields, "occurrences", fields["occurrences"] in ("all", "first"), '"all" or "first"')
    elif kind == "json":
        _expect(
            fields, "schema", isinstance(fields["schema"], Mapping), "a JSON schema, as a section or dict"
        )
        _expect(fields, "whitespace", isinstance(fields["whitespace"], bool), "true or false")
    else:
        _expect(fields, "pattern", _is_text(fields["pattern"]), text)
    return fields


def make_annotation(
    constraint: Mapping[str, Any] | None, *, attr: str, stops: Sequence[str] = ()
) -> Annotation:
    """
    constraint (Mapping[str, Any] | None): What `check_constraint` returns; None for free text.
    attr (str): The extension attribute.
    stops (Sequence[str]): The stop strings.
    RETURNS (Annotation): What becomes of generated texts.
    RAISES (ConfigError): A grammar that llguidance cannot follow.
    RAISES (ImportError): llguidance is needed and not installed.
    """
    if constraint is None:
        return ExtensionText(attr, stops)
    if constraint["type"] == "choice":
        return Category(constraint["labels"])
    if constraint["type"] == "spans":
        return VerbatimSpans(
            constraint["label"], constraint["spans_key"], every=constraint["occurrences"] == "all"
        )
    if constraint["type"] == "regex":
        return ExtensionGrammar(attr, partial(Grammar.from_regex, constraint["pattern"]), str)
    schema = partial(Grammar.from_json_schema, constraint["schema"], whitespace=constraint["whitespace"])
    return ExtensionGrammar(attr, schema, read_json)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _expect(fields: Mapping[str, Any], name: str, good: Any, what: str) -> None:
    if not good:
        raise ConfigError(
            f"Constraint of type {fields['type']!r}: expected {name} to be {what}, got {shown(fields[name])}."
        )
