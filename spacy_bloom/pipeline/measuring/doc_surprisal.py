"""The surprisal of one Doc, and of its spans."""

import math
from dataclasses import dataclass

import numpy
from spacy.tokens import Span

from ..base.token_bits import Floats


@dataclass(frozen=True)
class TokenSum:
    """The getter of a Span: the sum over its tokens, 0 if it has none.

    attr (str): Extension of the tokens.
    """

    attr: str

    def __call__(self, span: Span) -> float | None:
        """RETURNS (float | None): None if the tokens have not been annotated."""
        values = [token._.get(self.attr) for token in span]
        return None if None in values else math.fsum(values)


@dataclass(frozen=True)
class DocSurprisal:
    """What is written on one Doc.

    tokens (Floats): Bits of each token. Shape (tokens,).
    bits (float): Sum over the pieces that have a surprisal.
    n_pieces (int): Number of these pieces.
    n_bytes (int): UTF-8 bytes of these pieces.
    """

    tokens: Floats
    bits: float
    n_pieces: int
    n_bytes: int

    @property
    def perplexity(self) -> float:
        """RETURNS (float): 2 to the mean bits of a piece; NaN without pieces."""
        with numpy.errstate(over="ignore"):
            return float(numpy.exp2(self.bits / self.n_pieces)) if self.n_pieces else math.nan

    @property
    def bits_per_byte(self) -> float:
        """RETURNS (float): Mean bits of a UTF-8 byte; NaN without pieces."""
        return self.bits / self.n_bytes if self.n_bytes else math.nan
