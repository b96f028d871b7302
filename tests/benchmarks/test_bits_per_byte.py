import math

import pytest
from bits_per_byte import NGrams, xz_bits

from spacy_bloom.pretraining.data import TextFile

TEXT = b"hello world\nhello there\nabracadabra\n\xe6\xb2\xb3\n"


@pytest.mark.parametrize("context", [b"\nhell", b"\nzzzz", b"\nabra", b"\n\xe6\xb2", b"\n"])
def test_probabilities_of_what_may_follow_sum_to_one(context):
    ngrams = NGrams(TEXT)
    following = [ngrams._probabilities(context + bytes([byte]))[-1] for byte in range(256)]
    assert sum(following) == pytest.approx(1.0) and min(following) > 0


def test_a_count_by_hand():
    """After "a", b and c were seen once each in "ab\\nac\\n": 2 times, 2 kinds."""
    ngrams = NGrams(b"ab\nac\n")
    unigram = (1 + 4 / 256) / (6 + 4)  # of b: once in 6 bytes, of 4 kinds
    bigram = (1 + 2 * unigram) / (2 + 2)
    trigram = (0 + 1 * bigram) / (1 + 1)  # after a line's end and "a" only "c" was seen, once
    # After a line's end only "a" was seen, once: the last line's end is followed by nothing.
    start = (1 + (2 + 4 / 256) / (6 + 4)) / (1 + 1)
    assert ngrams._probabilities(b"\nab")[1:] == pytest.approx([start, trigram])
    assert ngrams.bits(["ab"]) == pytest.approx(-math.log2(start) - math.log2(trigram))


def test_xz_knows_what_it_has_read():
    lines = [f"line {i} is about {i * i % 97} things" for i in range(200)]
    known = xz_bits(TextFile("xx", lines, [lines[17]]))
    unknown = xz_bits(TextFile("xx", lines, ["zq7 ßöäü ---- 0x8f3a 88 -- QQ WW EE"]))
    assert 0 <= known < unknown
