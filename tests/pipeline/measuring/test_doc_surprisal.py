import math

import numpy
import pytest
import spacy
from spacy.tokens import Token

from spacy_bloom.pipeline.base.extensions import add_extension
from spacy_bloom.pipeline.measuring.doc_surprisal import DocSurprisal, TokenSum


@pytest.mark.parametrize(
    "bits, n_pieces, n_bytes, perplexity, bits_per_byte",
    [
        (6.0, 3, 12, 4.0, 0.5),
        (0.0, 1, 1, 1.0, 0.0),
        (1e6, 1, 10, math.inf, 1e5),
        (0.0, 0, 0, math.nan, math.nan),
    ],
)
def test_means(bits, n_pieces, n_bytes, perplexity, bits_per_byte):
    found = DocSurprisal(numpy.zeros(0), bits, n_pieces, n_bytes)
    assert found.perplexity == pytest.approx(perplexity, nan_ok=True)
    assert found.bits_per_byte == pytest.approx(bits_per_byte, nan_ok=True)


def test_sums_over_tokens():
    add_extension(Token, "bits_to_add")
    doc = spacy.blank("xx")("a b c")
    assert TokenSum("bits_to_add")(doc[:]) is None
    for token, bits in zip(doc, (0.1, 0.2, 0.3), strict=True):
        token._.bits_to_add = bits
    assert TokenSum("bits_to_add")(doc[0:3]) == math.fsum((0.1, 0.2, 0.3))
    assert TokenSum("bits_to_add")(doc[1:1]) == 0.0
