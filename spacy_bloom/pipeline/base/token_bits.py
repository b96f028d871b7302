"""What pieces of a text are worth, shared among its tokens by UTF-8 bytes."""

from dataclasses import dataclass

import numpy
from numpy.typing import NDArray
from spacy.tokens import Doc

from ...errors import InputError
from ...generation.piece_bytes import spelled_bytes
from ...thinc_layers.pieces.alignment import Ints, token_offsets
from ...tokenizer import BloomTokenizerFast

Floats = NDArray[numpy.float64]
SPACE = b" "


@dataclass(frozen=True)
class Spelling:
    """What there is to know of the bytes of each piece of a vocabulary.

    tokenizer (BloomTokenizerFast): Whose pieces they are.
    n_bytes (Ints): Bytes of each piece. Shape (ids,).
    n_leading (Ints): Spaces that a piece begins with; 0 if it is nothing but spaces. Shape (ids,).
    begins_with_space (NDArray): Shape (ids,), bool.
    """

    tokenizer: BloomTokenizerFast
    n_bytes: Ints
    n_leading: Ints
    begins_with_space: NDArray[numpy.bool_]

    @classmethod
    def of(cls, tokenizer: BloomTokenizerFast) -> "Spelling":
        """RETURNS (Spelling): Of a tokenizer's pieces."""
        vocabulary = tokenizer.get_vocab()
        shape = max(vocabulary.values()) + 1
        n_bytes, n_leading = numpy.zeros(shape, dtype=numpy.int64), numpy.zeros(shape, dtype=numpy.int64)
        begins = numpy.zeros(shape, dtype=bool)
        for piece, piece_id in vocabulary.items():
            spelled = spelled_bytes(piece)
            rest = spelled.lstrip(SPACE)
            n_bytes[piece_id] = len(spelled)
            n_leading[piece_id] = len(spelled) - len(rest) if rest else 0
            begins[piece_id] = spelled.startswith(SPACE)
        return cls(tokenizer, n_bytes, n_leading, begins)


@dataclass(frozen=True)
class BytePlaces:
    """Where the pieces and tokens of one Doc are in the UTF-8 bytes of its text.

    starts, ends (Ints): Of each piece. Shape (pieces,).
    inner_starts (Ints): Where each piece starts without the spaces that it begins with. Shape (pieces,).
    token_ends (Ints): A token reaches from the end of the one before it to its own, so that the space between
        two tokens is the second one's. Shape (tokens,), at least one.
    """

    starts: Ints
    ends: Ints
    inner_starts: Ints
    token_ends: Ints

    def token_of(self, places: Ints) -> Ints:
        """RETURNS (Ints): The token of each byte; what follows the last one's end is the last one's."""
        found = numpy.searchsorted(self.token_ends, places, side="right")
        return numpy.minimum(found, len(self.token_ends) - 1)

    def share(self, bits: Floats) -> Floats:
        """Give each token its part of the pieces' bits: those of a piece are spread evenly over its bytes, without
        the spaces that it begins with. So the sum over the tokens is the sum over the pieces.

        bits (Floats): Shape (pieces,).
        RETURNS (Floats): Shape (tokens,).
        """
        sums = numpy.concatenate(([0.0], numpy.cumsum(bits)))
        at = numpy.stack((self.inner_starts, self.ends), axis=1).ravel()
        reached = numpy.stack((sums[:-1], sums[1:]), axis=1).ravel()
        until = numpy.interp(self.token_ends, at, reached)  # bits of all that is before a token's end
        until[-1] = sums[-1]
        return numpy.diff(until, prepend=0.0)


def byte_places(doc: Doc, ids: Ints, spelling: Spelling) -> BytePlaces:
    """doc (Doc): With at least one token.
    ids (Ints): The pieces of its text. Shape (pieces,).
    RETURNS (BytePlaces): Where they are.
    RAISES (InputError): The pieces do not spell the text byte by byte.
    """
    codes = numpy.frombuffer(doc.text.encode("utf-32-le"), dtype="<u4")
    widths = 1 + (codes >= 0x80) + (codes >= 0x800) + (codes >= 0x10000)
    before = numpy.concatenate(([0], numpy.cumsum(widths)))  # bytes before each character
    lengths = spelling.n_bytes[ids]
    added = int(
        lengths.sum() - before[-1]
    )  # a tokenizer with add_prefix_space reads a space that is not there
    if added not in ((0, 1) if spelling.tokenizer.add_prefix_space else (0,)):
        raise InputError(
            f"Expected pieces that spell the text byte by byte, got {lengths.sum()} bytes for {before[-1]}. "
            "Use a checkpoint whose tokenizer is byte-level and does not normalize text, as BLOOM's."
        )
    ends = numpy.cumsum(lengths) - added
    starts = ends - lengths
    return BytePlaces(starts, ends, starts + spelling.n_leading[ids], before[token_offsets(doc)[1]])
