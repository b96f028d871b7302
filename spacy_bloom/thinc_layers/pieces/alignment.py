"""Which pieces belong to a token, by character offsets alone."""

import numpy
from numpy.typing import NDArray
from spacy.attrs import IDX, LENGTH
from spacy.tokens import Doc
from thinc.types import Ragged

Ints = NDArray[numpy.int64]


def token_offsets(doc: Doc) -> tuple[Ints, Ints]:
    """RETURNS (tuple[Ints, Ints]): Where each token starts and ends in the Doc's text, in Unicode code
    points. Shapes (tokens,). The space after a token belongs to no token.
    """
    array = doc.to_array([IDX, LENGTH]).astype(numpy.int64).reshape(-1, 2)  # (tokens, 2)
    return array[:, 0], array[:, 0] + array[:, 1]


def align(token_starts: Ints, token_ends: Ints, piece_starts: Ints, piece_ends: Ints) -> Ragged:
    """Align each token with the pieces whose characters overlap its own.

    A piece that spans two tokens belongs to both. A piece that holds part of a character has that character's
    offsets. A piece that is only the space between two tokens belongs to none. Every token has at least one piece: a
    token without characters gets the nearest.

    token_starts, token_ends (Ints): Shape (tokens,).
    piece_starts, piece_ends (Ints): In the order of the text. Shape (pieces,), at least one if there are
        tokens.
    RETURNS (Ragged): Piece indices of all tokens, int32, and their number per token. Shapes (n,) and
        (tokens,).
    """
    first = numpy.searchsorted(piece_ends, token_starts, side="right")
    last = numpy.searchsorted(piece_starts, token_ends, side="left")
    first = numpy.minimum(first, max(len(piece_starts) - 1, 0))
    lengths = numpy.maximum(last - first, 1)
    before = numpy.cumsum(lengths) - lengths
    indices = numpy.arange(lengths.sum()) - numpy.repeat(before - first, lengths)
    return Ragged(indices.astype("int32"), lengths.astype("int32"))
