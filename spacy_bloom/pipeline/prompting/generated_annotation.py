"""What generated texts may be, how they are read, and where the result is written on a Doc."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from spacy.tokens import Doc, Span
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from ...errors import ConfigError, InputError
from ...generation.causal_lm import piece_bytes
from ...generation.constraints.base import Constraint
from ...generation.constraints.byte_spans import Choice, VerbatimSpan
from ...generation.constraints.grammar import Grammar
from ...generation.generator import GeneratedPieces
from ...generation.piece_bytes import PieceBytes
from ...settings import shown
from ...tokenizer import BloomTokenizerFast
from ..base.spans import without_overlap
from .generator_settings import ChoiceSettings, ConstraintSettings, JsonSettings, RegexSettings, SpansSettings

Unit = Doc | Span  # the subject of a prompt


class Annotation(ABC):
    """What happens to generated texts. By default they are unconstrained and written as they are.

    of_each_unit (bool): Whether each unit has its own constraint.
    """

    of_each_unit = False

    def applies(self, unit: Unit) -> bool:
        """RETURNS (bool): Whether anything can be generated for a unit."""
        return True

    def constraint(
        self, unit: Unit, tokenizer: BloomTokenizerFast, *, leading_space: bool
    ) -> Constraint | None:
        """Make the constraint for a unit.

        unit (Doc | Span): The subject of the prompt.
        tokenizer (BloomTokenizerFast): The language model's.
        leading_space (bool): Whether a space comes before the text.
        RETURNS (Constraint | None): None if the text is free.
        RAISES (InputError): No text is legal.
        """
        return None

    def read(self, unit: Unit, sequence: GeneratedPieces, constraint: Constraint | None) -> list[Any]:
        """RETURNS (list[Any]): One value to write; none if the text is not legal."""
        return [sequence.text]

    def prepare(self, doc: Doc) -> None:
        """Create the place where values are written, so that it exists without any values."""
        return None

    @abstractmethod
    def write(self, unit: Unit, value: Any) -> None:
        """Write a value: a list if several sequences are asked for."""


class ExtensionText(Annotation):
    """The text, up to a stop string, in an extension attribute.

    attr (str): Its name.
    stops (Sequence[str]): The stop strings.
    """

    def __init__(self, attr: str, stops: Sequence[str] = ()) -> None:
        self.attr = attr
        self.stops = tuple(stops)

    def read(self, unit: Unit, sequence: GeneratedPieces, constraint: Constraint | None) -> list[Any]:
        return [sequence.text_before(self.stops)]

    def write(self, unit: Unit, value: Any) -> None:
        unit._.set(self.attr, value)


class ExtensionGrammar(ExtensionText):
    """The parsed text that matches a grammar, in an extension attribute.

    attr (str): Its name.
    make (Callable): Makes the grammar: (pieces, eos_token_id, leading_space) -> Grammar.
    parse (Callable): Text to value.
    """

    def __init__(self, attr: str, make: Callable[..., Grammar], parse: Callable[[str], Any]) -> None:
        super().__init__(attr)
        self._parse = parse
        # Nothing is loaded yet. A vocabulary of bytes is enough to check the grammar.
        pieces = PieceBytes(_smallest_tokenizer())
        try:
            make(pieces, min(pieces.control), leading_space=False)
        except InputError as error:
            raise ConfigError(f"The component's constraint: {error}") from error
        self._made = _Made(make)

    def constraint(
        self, unit: Unit, tokenizer: BloomTokenizerFast, *, leading_space: bool
    ) -> Constraint | None:
        return self._made(tokenizer, leading_space)

    def read(self, unit: Unit, sequence: GeneratedPieces, constraint: Constraint | None) -> list[Any]:
        text = None if constraint is None else constraint.text_of(sequence.pieces)
        try:
            return [] if text is None else [self._parse(text)]
        except (ValueError, RecursionError):  # legal JSON that Python cannot hold or spaCy cannot save
            return []


class Category(Annotation):
    """One of some labels, in doc.cats: 1 for it, 0 for the others.

    labels (Sequence[str]): The labels.
    max_new_tokens (int): Maximum number of pieces in a text.
    """

    def __init__(self, labels: Sequence[str], *, max_new_tokens: int) -> None:
        self.labels, self.max_new_tokens = tuple(labels), max_new_tokens
        self._made = _Made(self._choice)

    def constraint(
        self, unit: Unit, tokenizer: BloomTokenizerFast, *, leading_space: bool
    ) -> Constraint | None:
        return self._made(tokenizer, leading_space)

    def read(self, unit: Unit, sequence: GeneratedPieces, constraint: Constraint | None) -> list[Any]:
        text = None if constraint is None else constraint.text_of(sequence.pieces)
        return [] if text is None else [text]

    def write(self, unit: Unit, value: Any) -> None:
        _doc(unit).cats.update({label: float(label == value) for label in self.labels})

    def _choice(self, pieces: PieceBytes, eos_token_id: int, *, leading_space: bool) -> Choice:
        make = partial(
            Choice,
            pieces=pieces,
            eos_token_id=eos_token_id,
            leading_space=leading_space,
            max_new_tokens=self.max_new_tokens,
        )
        for label in self.labels:  # a label that does not fit would never be chosen
            try:
                make([label])
            except InputError as error:
                raise ConfigError(f"The label {shown(label)} can never be chosen. {error}") from error
        return make(self.labels)


class VerbatimSpans(Annotation):
    """A span of the unit's text, at token boundaries, as an entity or in a span group.

    Spans do not begin or end with space. Existing entities stay, and spans that overlap them are left out, as are spans
    that are already in the group.

    label (str): Of the spans.
    spans_key (str | None): The group, doc.spans[spans_key]; None for doc.ents.
    every (bool): Annotate all occurrences of the text, not only the first.
    max_new_tokens (int): Maximum number of pieces in a text.
    """

    of_each_unit = True

    def __init__(self, label: str, spans_key: str | None, *, every: bool, max_new_tokens: int) -> None:
        self.label, self.spans_key, self.every = label, spans_key, every
        self.max_new_tokens = max_new_tokens

    def applies(self, unit: Unit) -> bool:
        return any(not token.is_space for token in unit)

    def constraint(
        self, unit: Unit, tokenizer: BloomTokenizerFast, *, leading_space: bool
    ) -> Constraint | None:
        start = _start(unit)
        offsets = [(t.idx - start, t.idx - start + len(t)) for t in unit if not t.is_space]
        return VerbatimSpan(
            unit.text,
            piece_bytes(tokenizer),
            tokenizer.eos_token_id,
            tokens=offsets,
            leading_space=leading_space,
            max_new_tokens=self.max_new_tokens,
        )

    def read(self, unit: Unit, sequence: GeneratedPieces, constraint: Constraint | None) -> list[Any]:
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
        found = [
            span for span in spans if span is not None
        ]  # none is: the constraint ends at token boundaries
        if self.spans_key is None:
            doc.set_ents(without_overlap([*doc.ents, *found]), default="unmodified")
            return
        group = doc.spans[self.spans_key]
        group.extend([span for span in found if span not in group])


class _Made:
    """Constraints that are the same for all units, with and without a leading space, made when needed.

    make (Callable): (pieces, eos_token_id, leading_space) -> Constraint.
    """

    def __init__(self, make: Callable[..., Constraint]) -> None:
        self._make = make
        self._made: dict[bool, tuple[BloomTokenizerFast, Constraint]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_made": {}}  # grammars cannot be pickled

    def __call__(self, tokenizer: BloomTokenizerFast, leading_space: bool) -> Constraint:
        """RETURNS (Constraint): For this tokenizer."""
        known = self._made.get(leading_space)
        if known is None or known[0] is not tokenizer:  # another one has been loaded
            made = self._make(piece_bytes(tokenizer), tokenizer.eos_token_id, leading_space=leading_space)
            known = self._made[leading_space] = tokenizer, made
        return known[1]


def _doc(unit: Unit) -> Doc:
    return unit if isinstance(unit, Doc) else unit.doc


def _start(unit: Unit) -> int:
    return 0 if isinstance(unit, Doc) else unit.start_char


def _smallest_tokenizer() -> BloomTokenizerFast:
    """RETURNS (BloomTokenizerFast): A tokenizer whose pieces are the bytes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({byte: i for i, byte in enumerate(alphabet)}, []))
    backend.decoder = decoders.ByteLevel()
    return BloomTokenizerFast(backend)


def read_json(text: str) -> Any:
    """RETURNS (Any): The parsed JSON.
    RAISES (ValueError): It has NaN, infinity or half a surrogate pair, which cannot be saved.
    """
    value = json.loads(text)
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf8")
    return value


def make_annotation(
    constraint: ConstraintSettings | None, *, attr: str, stops: Sequence[str], max_new_tokens: int
) -> Annotation:
    """
    constraint (ConstraintSettings | None): The constraint on texts; None for free texts.
    attr (str): The extension attribute.
    stops (Sequence[str]): The stop strings.
    max_new_tokens (int): Maximum number of pieces in a text.
    RETURNS (Annotation): What happens to generated texts.
    RAISES (ConfigError): llguidance cannot use the grammar.
    RAISES (ImportError): llguidance is needed and not installed.
    """
    match constraint:
        case ChoiceSettings():
            return Category(constraint.labels, max_new_tokens=max_new_tokens)
        case SpansSettings():
            every = constraint.occurrences == "all"
            return VerbatimSpans(
                constraint.label, constraint.spans_key, every=every, max_new_tokens=max_new_tokens
            )
        case JsonSettings():
            make = partial(Grammar.from_json_schema, constraint.schema, whitespace=constraint.whitespace)
            return ExtensionGrammar(attr, make, read_json)
        case RegexSettings():
            return ExtensionGrammar(attr, partial(Grammar.from_regex, constraint.pattern), str)
        case _:
            return ExtensionText(attr, stops)
