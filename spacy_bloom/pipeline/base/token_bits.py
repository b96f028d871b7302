"""Distributes the bits of a text's pieces over its tokens, by UTF-8 bytes."""

from dataclasses import dataclass

import numpy
from numpy.typing import NDArray
from spacy.tokens import Doc

from ...errors import InputError
from ...generation.piece_bytes import vocabulary_bytes
from ...thinc_layers.pieces.alignment import Ints, token_offsets
from ...tokenizer import BloomTokenizerFast

Floats = NDArray[numpy.float64]
SPACE = b" "


@dataclass(frozen=True)
class Spelling:
    """The lengths and leading spaces of a vocabulary's pieces, in bytes.

    tokenizer (BloomTokenizerFast): The tokenizer.
    n_bytes (Ints): Length of each piece. Shape (ids,).
    n_leading (Ints): Number of leading spaces; 0 if a piece is only spaces. Shape (ids,).
    begins_with_space (NDArray): Shape (ids,), bool.
    """

    tokenizer: BloomTokenizerFast
    n_bytes: Ints
    n_leading: Ints
    begins_with_space: NDArray[numpy.bool_]

    @classmethod
    def of(cls, tokenizer: BloomTokenizerFast) -> "Spelling":
        """RETURNS (Spelling): The spelling of a tokenizer's pieces."""
        vocabulary = vocabulary_bytes(tokenizer)
        shape = max(vocabulary) + 1
        n_bytes, n_leading = numpy.zeros(shape, dtype=numpy.int64), numpy.zeros(shape, dtype=numpy.int64)
        begins = numpy.zeros(shape, dtype=bool)
        for piece_id, spelled in vocabulary.items():
            rest = spelled.lstrip(SPACE)
            n_bytes[piece_id] = len(spelled)
            n_leading[piece_id] = len(spelled) - len(rest) if rest else 0
            begins[piece_id] = spelled.startswith(SPACE)
        return cls(tokenizer, n_bytes, n_leading, begins)


@dataclass(frozen=True)
class BytePlaces:
    """Byte offsets of the pieces and tokens of one Doc, in UTF-8.

    starts, ends (Ints): Offsets of each piece. Shape (pieces,).
    inner_starts (Ints): Start of each piece without leading spaces. Shape (pieces,).
    token_ends (Ints): End of each token. A token starts at the end of the one before it, so that the space between two
        tokens belongs to the second. Shape (tokens,), at least one.
    """

    starts: Ints
    ends: Ints
    inner_starts: Ints
    token_ends: Ints

    def token_of(self, places: Ints) -> Ints:
        """RETURNS (Ints): The token of each byte; bytes after the last token belong to it."""
        found = numpy.searchsorted(self.token_ends, places, side="right")
        return numpy.minimum(found, len(self.token_ends) - 1)

    def share(self, bits: Floats) -> Floats:
        """Distribute bits over tokens. The bits of a piece are spread evenly over its bytes, without leading spaces,
        so that the sum over the tokens is the sum over the pieces.

        bits (Floats): Shape (pieces,).
        RETURNS (Floats): Shape (tokens,).
        """
        sums = numpy.concatenate(([0.0], numpy.cumsum(bits)))
        at = numpy.stack((self.inner_starts, self.ends), axis=1).ravel()
        reached = numpy.stack((sums[:-1], sums[1:]), axis=1).ravel()
        until = numpy.interp(self.token_ends, at, reached)  # bits before each token's end
        until[-1] = sums[-1]
        return numpy.diff(until, prepend=0.0)


def byte_places(doc: Doc, ids: Ints, spelling: Spelling) -> BytePlaces:
    """doc (Doc): A Doc with at least one token.
    ids (Ints): The pieces of its text. Shape (pieces,).
    RETURNS (BytePlaces): The offsets of pieces and tokens.
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
