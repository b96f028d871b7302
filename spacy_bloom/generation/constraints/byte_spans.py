"""Constraints to one of several strings, or to a span of a text.

All constraints work on bytes. Any pieces that spell a legal text are legal, including those that the tokenizer would
not choose and those that hold part of a character. Generation can only end where the text is legal, which is never
inside a character.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy

from ...errors import InputError
from ..piece_bytes import END, ROOT, Ints, PieceBytes, to_symbols
from .base import Constraint

SPACE = 0x20


class Reached(NamedTuple):
    """Where the generated text may be in the array.

    positions (Ints): The possible positions of the next byte. Shape (positions,).
    length (int): Number of bytes so far; -1 before the leading space.
    """

    positions: Ints
    length: int


class ByteSpans(Constraint[Reached]):
    """The generated text is a span of an array of bytes, with given starts and ends.

    symbols (Ints): Bytes, END after each string. Shape (symbols,).
    starts (Ints): Where a span may begin; after each of them there is a stop. Shape (starts,).
    stops (Ints): Where it may end (exclusive). Shape (stops,).
    pieces, eos_token_id, leading_space: As for `Constraint`.
    max_new_tokens (int | None): Only allow pieces after which the text can be completed within this many pieces in
        total, not counting `</s>`. None: a text may be cut off.
    RAISES (InputError): A byte of the text is no piece, or no span fits into max_new_tokens.
    """

    def __init__(
        self,
        symbols: Ints,
        starts: Ints,
        stops: Ints,
        pieces: PieceBytes,
        eos_token_id: int,
        *,
        leading_space: bool = False,
        max_new_tokens: int | None = None,
    ) -> None:
        absent = {*symbols.tolist(), *([SPACE] if leading_space else [])} - {END} - pieces.single_bytes
        if absent:
            raise InputError(
                f"The vocabulary has no single pieces for the bytes {sorted(absent)}, so that a text with them could "
                "not always be completed. Expected a byte-level vocabulary with all 256 bytes."
            )
        self._symbols = symbols
        self._stops = numpy.zeros(len(symbols), dtype=bool)
        self._stops[stops] = True
        self._begin = Reached(starts, -1 if leading_space else 0)
        self.max_new_tokens = max_new_tokens
        super().__init__(pieces, eos_token_id, self._begin, leading_space=leading_space)
        self._needed: Ints | None = None
        if max_new_tokens is not None:
            self._needed = self._pieces_needed()
            self._check_budget(max_new_tokens, self._needed)
        self._first = self._find_legal(self._begin, 0)

    def _advance(self, state: Reached, piece: int) -> Reached | None:
        spelled = self.pieces[piece]
        rest = spelled
        if state.length < 0:
            if not spelled.startswith(b" "):
                return None
            rest = spelled[1:]
        positions = state.positions
        for byte in rest:
            positions = positions[self._symbols[positions] == byte] + 1
        return Reached(positions, state.length + len(spelled)) if spelled and len(positions) else None

    def _may_end(self, state: Reached) -> bool:
        return state.length > 0 and bool(self._stops[state.positions].any())

    def _legal(self, state: Reached, n_generated: int) -> Ints:
        return self._first if state is self._begin else self._find_legal(state, n_generated)

    def _find_legal(self, state: Reached, n_generated: int) -> Ints:
        where, lengths, nodes = self._match(state)
        if self._needed is not None and self.max_new_tokens is not None:
            needed = 1 + self._needed[state.positions[where] + lengths]
            in_time = needed <= self.max_new_tokens - n_generated
            # A row that is longer than max_new_tokens goes on without a limit.
            if in_time.any() or self._may_end(state):
                nodes = nodes[in_time]
        return self.pieces.at(nodes)

    def _match(self, state: Reached) -> tuple[Ints, Ints, Ints]:
        node = self.pieces.space if state.length < 0 else ROOT
        return self.pieces.match(self._symbols, state.positions, node)

    def _check_budget(self, max_new_tokens: int, needed: Ints) -> None:
        where, lengths, _ = self._match(self._begin)
        shortest = 1 + needed[self._begin.positions[where] + lengths].min(initial=len(needed))
        if len(where) and max_new_tokens < shortest:
            raise InputError(
                f"Expected max_new_tokens to be {shortest} or more, which the shortest text needs, "
                f"got {max_new_tokens}."
            )

    def _pieces_needed(self) -> Ints:
        """RETURNS (Ints): The number of pieces to the nearest stop from each position; more than there are positions if
        there is none. Shape (symbols,).
        """
        where, lengths, _ = self.pieces.match(self._symbols, numpy.arange(len(self._symbols)))
        needed = numpy.where(self._stops, 0, len(self._symbols) + 1).tolist()
        order = numpy.argsort(-where, kind="stable")  # from the right: what follows is known
        for place, length in zip(where[order].tolist(), lengths[order].tolist(), strict=True):
            needed[place] = min(needed[place], needed[place + length] + 1)
        return numpy.array(needed, dtype=numpy.int64)


class Choice(ByteSpans):
    """The generated text is one of several strings. Where one is the beginning of another, both can be generated.

    strings (Iterable[str]): At least one, none empty.
    pieces, eos_token_id, leading_space: As for `Constraint`.
    max_new_tokens (int | None): As for `ByteSpans`: only strings that can be completed are begun.
    RAISES (InputError): The strings are not as expected, or none of them fits into max_new_tokens.
    """

    def __init__(
        self,
        strings: Iterable[str],
        pieces: PieceBytes,
        eos_token_id: int,
        *,
        leading_space: bool = False,
        max_new_tokens: int | None = None,
    ) -> None:
        if isinstance(strings, str):
            raise InputError(f"Expected several strings to choose from, got one: {strings[:40]!r}.")
        encoded = [_to_bytes(string) for string in dict.fromkeys(strings)]
        if not encoded or b"" in encoded:
            raise InputError(
                f"Expected one or more strings to choose from, none empty, got {len(encoded)} strings"
                f"{' with an empty one' if encoded else ''}. Leave empty strings out."
            )
        symbols = to_symbols(encoded)
        ends = numpy.flatnonzero(symbols == END)
        super().__init__(
            symbols,
            numpy.concatenate([[0], ends[:-1] + 1]),
            ends,
            pieces,
            eos_token_id,
            leading_space=leading_space,
            max_new_tokens=max_new_tokens,
        )


class VerbatimSpan(ByteSpans):
    """The generated text is a verbatim span of a given text, of one or more characters. For an empty text only `</s>`
    can be generated.

    text (str): The source of the span.
    pieces, eos_token_id, leading_space: As for `Constraint`.
    tokens (Sequence[tuple[int, int]] | None): Offsets of tokens in the text, in Unicode code points. Spans begin and
        end at token boundaries. None: at any character.
    max_new_tokens (int | None): As for `ByteSpans`: the end of a character or token is always reached.
    RAISES (InputError): The text has half a surrogate pair, an offset is outside the text, or no token fits into
        max_new_tokens.
    """

    def __init__(
        self,
        text: str,
        pieces: PieceBytes,
        eos_token_id: int,
        *,
        tokens: Sequence[tuple[int, int]] | None = None,
        leading_space: bool = False,
        max_new_tokens: int | None = None,
    ) -> None:
        encoded = _to_bytes(text)
        data = numpy.frombuffer(encoded, dtype=numpy.uint8)
        borders = numpy.flatnonzero((data & 0xC0) != 0x80)  # where the bytes of a character begin
        self._borders = numpy.append(borders, len(data))  # (characters + 1,)
        offsets = _check_offsets(tokens, len(text))
        starts, stops = self._borders[offsets[:, 0]], self._borders[offsets[:, 1]]
        # What follows the last stop is cut off: no span can reach into it.
        super().__init__(
            to_symbols([encoded[: stops.max(initial=0)]]),
            numpy.unique(starts),
            stops,
            pieces,
            eos_token_id,
            leading_space=leading_space,
            max_new_tokens=max_new_tokens,
        )

    def occurrences(self, generated: Sequence[int]) -> list[tuple[int, int]]:
        """Where the generated span occurs in the text.

        generated (Sequence[int]): The pieces; what follows `</s>` is ignored.
        RETURNS (list[tuple[int, int]]): Start and end of all possible occurrences, in Unicode code points and in
            order; they may overlap. Empty if the span is incomplete.
        """
        state = self._states(self._before_eos(generated))
        if state is None or not self._may_end(state):
            return []
        ends = state.positions[self._stops[state.positions]]
        first = numpy.searchsorted(self._borders, ends - state.length)
        last = numpy.searchsorted(self._borders, ends)
        return list(zip(first.tolist(), last.tolist(), strict=True))


def _to_bytes(text: str) -> bytes:
    try:
        return text.encode("utf8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"Expected text of whole Unicode characters, got a lone surrogate at {error.start}: "
            f"{text[max(0, error.start - 10) : error.start + 10]!r}. Replace it, for example by U+FFFD."
        ) from None


def _check_offsets(tokens: Sequence[tuple[int, int]] | None, length: int) -> Ints:
    """RETURNS (Ints): Start and end of the tokens that are not empty, or of each character. Shape (tokens, 2)."""
    if tokens is None:
        return numpy.arange(length)[:, None] + numpy.array([0, 1])
    offsets = numpy.array(tokens, dtype=numpy.int64).reshape(-1, 2)
    starts, ends = offsets[:, 0], offsets[:, 1]
    wrong = numpy.flatnonzero((starts < 0) | (starts > ends) | (ends > length))
    if len(wrong):
        raise InputError(
            f"Expected offsets (start, end) of tokens with 0 <= start <= end <= {length}, "
            f"got {tuple(offsets[wrong[0]].tolist())}."
        )
    return offsets[starts < ends]
