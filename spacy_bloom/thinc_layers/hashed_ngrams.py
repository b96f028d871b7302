"""Hashed character n-grams."""

import re
from collections.abc import Iterator

import numpy
from numpy.typing import NDArray

Hashes = NDArray[numpy.uint64]

FACTOR = numpy.uint64(0x9E3779B97F4A7C15)  # odd, with bits in no order: 2^64 over the golden ratio
HALF = numpy.uint64(32)
DIGIT = re.compile(r"\d")


def with_like_digits(text: str) -> str:
    """RETURNS (str): The text with 0 for each digit: which number it is says little."""
    return DIGIT.sub("0", text)


def hashed_ngrams(text: str, longest: int) -> Iterator[tuple[int, Hashes]]:
    """YIELDS (tuple[int, Hashes]): A size from 1 to the longest one that fits, and the hashes of all n-grams of that
    size, by the place of their first character.
    """
    characters = numpy.frombuffer(text.encode("utf-32-le"), dtype="<u4").astype("uint64")
    hashed = characters
    for size in range(1, min(longest, len(characters)) + 1):
        if size > 1:
            hashed = hashed[:-1] * FACTOR + characters[size - 1 :]
            hashed ^= hashed >> HALF
        yield size, hashed
