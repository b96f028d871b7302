"""Constraints to a regular expression or a JSON schema, by llguidance (extra `constraints`)."""

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy
from typing_extensions import Self

from ...errors import BloomWarning, InputError
from ...settings import shown
from ..piece_bytes import Ints, PieceBytes
from .base import Constraint

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

MAX_CHARACTERS = 2**20
MAX_MULTIPLE = 10_000
MEMO_SIZE = 256  # a matcher holds a whole parse
# Where a grammar allows one continuation only, llguidance would allow only the tokenizer's own pieces for it.
ANY_PIECES = '%llguidance { "no_forcing": true }\n'
# As json.dumps writes it, like most JSON that a model was trained on.
COMPACT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
FLEXIBLE = {"whitespace_flexible": True}

# Made from the whole vocabulary, and shared by all grammars on it.
_TOKENIZERS: "WeakKeyDictionary[PieceBytes, LLTokenizer]" = WeakKeyDictionary()


class Grammar(Constraint["LLMatcher"]):
    """The generated text matches a grammar. Like every `Constraint` it works on bytes: any pieces that spell a matching
    text are legal. There is no limit on length: use a grammar that ends (bounded repetitions, `maxLength`), otherwise
    `text_of` returns None for a text that was cut off.

    grammar (str): In llguidance's variant of Lark. `from_regex` and `from_json_schema` write it.
    pieces, eos_token_id, leading_space: As for `Constraint`. The grammar itself must include the leading space.
    RAISES (InputError): llguidance does not understand the grammar, or nothing matches it.
    RAISES (ImportError): llguidance is not installed.
    """

    def __init__(
        self, grammar: str, pieces: PieceBytes, eos_token_id: int, *, leading_space: bool = False
    ) -> None:
        library = _import_llguidance()
        tokenizer = _make_tokenizer(library, pieces)
        if len(grammar) > MAX_CHARACTERS:
            raise InputError(
                f"Got a grammar of {len(grammar)} characters, expected at most {MAX_CHARACTERS}."
            )
        with _naming_failures(grammar):
            error = library.LLMatcher.validate_grammar(grammar, tokenizer)
            if error:
                raise InputError(
                    f"Expected a grammar that llguidance can follow, got this error: {error[:1000]}"
                )
            matcher = library.LLMatcher(tokenizer, grammar, log_level=0)  # errors are asked for, not printed
        super().__init__(pieces, eos_token_id, matcher, leading_space=leading_space, memo_size=MEMO_SIZE)
        if not (matcher.is_accepting() or len(self._legal_pieces(matcher))):
            raise InputError(f"Expected a grammar that some text matches, got one that none does: {grammar}")

    @classmethod
    def from_regex(
        cls, regex: str, pieces: PieceBytes, eos_token_id: int, *, leading_space: bool = False
    ) -> Self:
        r"""The whole generated text matches a regular expression.

        regex (str): In the syntax of Rust's `regex`, which is Python's without look-around and backreferences. `\d`,
            `\w` and `\s` cover all scripts; unlike in Python, `\w` includes the vowel signs of Indic scripts.
        pieces, eos_token_id, leading_space: As for `Constraint`.
        RETURNS (Grammar): The constraint.
        RAISES (InputError, ImportError): As for `Grammar`.
        """
        space = " " if leading_space else ""
        library = _import_llguidance()
        with _naming_failures(regex):
            line = library.regex_to_lark(f"{space}(?:{regex})", use_ascii="")
        return cls(f"{ANY_PIECES}start: /{line}/", pieces, eos_token_id, leading_space=leading_space)

    @classmethod
    def from_json_schema(
        cls,
        schema: Mapping[str, Any],
        pieces: PieceBytes,
        eos_token_id: int,
        *,
        whitespace: bool = False,
        leading_space: bool = False,
    ) -> Self:
        """The generated text is JSON that a schema describes.

        schema (Mapping[str, Any]): A JSON Schema; what llguidance does not support is an error.
        pieces, eos_token_id, leading_space: As for `Constraint`.
        whitespace (bool): Allow any spaces and line breaks that JSON allows; otherwise the text is formatted like the
            output of `json.dumps`.
        RETURNS (Grammar): The constraint.
        RAISES (InputError, ImportError): As for `Grammar`.
        """
        if not isinstance(schema, Mapping):
            raise InputError(f"Expected a JSON schema as a dict, got {type(schema).__name__}: {schema!r}.")
        _check_multiples(schema)
        options = json.dumps({**schema, "x-guidance": FLEXIBLE if whitespace else COMPACT})
        start = '" " json' if leading_space else "json"
        grammar = f"{ANY_PIECES}start: {start}\njson: %json {options}"
        return cls(grammar, pieces, eos_token_id, leading_space=leading_space)

    def _advance(self, state: "LLMatcher", piece: int) -> "LLMatcher | None":
        if not self.pieces[piece]:
            return None
        with _naming_failures("this one"):
            matcher = state.deep_copy()
            return matcher if matcher.consume_token(piece) else None

    def _may_end(self, state: "LLMatcher") -> bool:
        return state.is_accepting()

    def _legal(self, state: "LLMatcher", n_generated: int) -> Ints:
        legal = self._legal_pieces(state)
        if state.is_error():  # its limits on time and memory; the row can only end, without a text
            warnings.warn(
                f"llguidance gave up on a grammar: {state.get_error()} The text stays incomplete. "
                "Simplify the grammar.",
                BloomWarning,
                stacklevel=2,
            )
        return legal

    def _legal_pieces(self, matcher: "LLMatcher") -> Ints:
        with _naming_failures("this one"):
            bits = numpy.frombuffer(matcher.compute_bitmask(), dtype=numpy.uint8)
        legal = numpy.flatnonzero(numpy.unpackbits(bits, bitorder="little")[: len(self.pieces)])
        return legal[~numpy.isin(legal, [*self.pieces.control])]


def _check_multiples(schema: Mapping[str, Any]) -> None:
    """RAISES (InputError): llguidance would make a state for each remainder, of all multiples together."""
    todo: list[Any] = [schema]
    product = 1.0
    while todo:
        part = todo.pop()
        if isinstance(part, Mapping):
            number = part.get("multipleOf")
            if isinstance(number, (int, float)):
                product *= min(max(abs(number), 1), 2 * MAX_MULTIPLE)
            todo += part.values()
        elif isinstance(part, (list, tuple)):
            todo += part
        if product > MAX_MULTIPLE:
            raise InputError(
                f"Expected multipleOf up to {MAX_MULTIPLE}, all of a schema multiplied, got more."
            )


@contextmanager
def _naming_failures(grammar: str) -> Iterator[None]:
    """RAISES (InputError): llguidance fails inside, also by a panic, which is no Exception."""
    try:
        yield
    except (InputError, ImportError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        raise InputError(
            f"Expected a grammar that llguidance can follow, got {shown(grammar)}: {shown(str(error))}."
        ) from None


class _Vocabulary:
    """The interface that llguidance expects of a tokenizer.

    pieces (PieceBytes): The bytes of the pieces.
    """

    def __init__(self, pieces: PieceBytes) -> None:
        self.tokens = [pieces.control.get(i, pieces[i]) for i in range(len(pieces))]
        self.special_token_ids = sorted(pieces.control)
        self.eos_token_id = self.special_token_ids[0]  # only its place is needed: `Constraint` sets the end
        self.bos_token_id = None

    def __call__(self, text: bytes) -> Sequence[int]:
        """Called to force the tokenizer's own pieces, which no grammar here asks for."""
        raise NotImplementedError("Write grammars with no_forcing: pieces are not forced.")


def _make_tokenizer(library: Any, pieces: PieceBytes) -> "LLTokenizer":
    if pieces not in _TOKENIZERS:
        _TOKENIZERS[pieces] = library.LLTokenizer(library.TokenizerWrapper(_Vocabulary(pieces)))
    return _TOKENIZERS[pieces]


def _import_llguidance() -> Any:
    try:
        import llguidance
    except ImportError as error:
        raise ImportError(
            "Constraints by regular expression or JSON schema need llguidance, which is not installed. "
            'Install it with: pip install "spacy-bloom[constraints]"'
        ) from error
    return llguidance
