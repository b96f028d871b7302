"""How much of a question is found at each place of a text and around it, from characters alone."""

import unicodedata
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

from ..hashed_ngrams import Hashes, hashed_ngrams
from .alignment import Ints

Floats = NDArray[numpy.float32]
Weights = NDArray[numpy.float64]

# Characters of an n-gram. Two are a word in Chinese, and say little in other languages.
SIZES = (2, 3, 4, 6, 9)
# Pieces before and after a piece, up to so many.
REACHES = (4, 16, 64)
N_FEATURES = len(SIZES) * (1 + 2 * len(REACHES))


class _Folding(dict[int, str]):
    """For str.translate: each character as one character, without case and marks on letters, and space for
    punctuation, so that places stay what they are.
    """

    def __missing__(self, code: int) -> str:
        first, *rest = unicodedata.normalize("NFKD", chr(code).lower())
        if any(unicodedata.category(mark)[0] != "M" for mark in rest):
            first = chr(code).lower()[0]
        self[code] = folded = " " if unicodedata.category(first)[0] in "PZC" else first
        return folded


FOLDING = _Folding()


@dataclass(frozen=True, eq=False)
class TextNgrams:
    """The character n-grams of a text, to compare with any number of questions.

    length (int): Characters of the text.
    by_size (dict[int, tuple[Hashes, Weights]]): Hashes of the n-grams by the place of their first character, and how
        rare each is in the text: from 1 for those that occur once to 0 for one that is all there is.
    """

    length: int
    by_size: dict[int, tuple[Hashes, Weights]]

    @classmethod
    def of(cls, text: str) -> "TextNgrams":
        """RETURNS (TextNgrams): Of a text."""
        found = hashed_ngrams(text.translate(FOLDING), SIZES[-1])
        return cls(len(text), {size: (hashed, _rarity(hashed)) for size, hashed in found if size in SIZES})


def question_overlap(ngrams: TextNgrams, question: str, offsets: Ints) -> Floats:
    """Compare a text with a question. An n-gram of both counts for the characters that it covers: more, the rarer it
    is in the text.

    ngrams (TextNgrams): Of the text.
    question (str): The question.
    offsets (Ints): Where each piece of the text starts and ends in it. Shape (pieces, 2).
    RETURNS (Floats): For each size of n-grams, the mean over the characters of a piece; and over the pieces before
        and after it, as a share of the largest such mean in the text. Shape (pieces, N_FEATURES).
    """
    own = _by_piece(_covered(ngrams, question), offsets)
    around = [mean for reach in REACHES for mean in _means_around(own, reach)]
    largest = [mean.max(axis=0, initial=0.0) for mean in around]
    shares = [mean / numpy.where(top > 0, top, 1) for mean, top in zip(around, largest, strict=True)]
    return numpy.hstack([own, *shares]).astype("float32")


def no_overlap(n_pieces: int) -> Floats:
    """RETURNS (Floats): Features of a model that reads none. Shape (pieces, 0)."""
    return numpy.zeros((n_pieces, 0), dtype="float32")


def _covered(ngrams: TextNgrams, question: str) -> Weights:
    """RETURNS (Weights): How rare the rarest n-gram over each character is that the question has too, by size; 0
    without one. Shape (characters, sizes).
    """
    weights = numpy.zeros((ngrams.length, len(SIZES)))
    asked = dict(hashed_ngrams(f" {question.translate(FOLDING)} ", SIZES[-1]))
    for size, (hashed, rarity) in ngrams.by_size.items():
        shared = numpy.where(numpy.isin(hashed, asked.get(size, [])), rarity, 0.0)
        column = weights[:, SIZES.index(size)]
        for place in range(size):
            part = column[place : place + len(shared)]
            numpy.maximum(part, shared, out=part)
    return weights


def _rarity(hashed: Hashes) -> Weights:
    """RETURNS (Weights): See `TextNgrams`. Shape (n-grams,)."""
    _, inverse, counts = numpy.unique(hashed, return_inverse=True, return_counts=True)
    return 1 - numpy.log(counts[inverse]) / numpy.log(len(hashed) + 1)


def _by_piece(weights: Weights, offsets: Ints) -> Weights:
    """RETURNS (Weights): Means over the characters of each piece. Shape (pieces, sizes)."""
    sums = _running_sums(weights)
    starts, ends = offsets[:, 0], offsets[:, 1]
    return (sums[ends] - sums[starts]) / numpy.maximum(ends - starts, 1)[:, None]


def _means_around(own: Weights, reach: int) -> tuple[Weights, Weights]:
    """RETURNS (tuple[Weights, Weights]): Sums over the pieces before and after each, by how many there could be.
    Each of shape (pieces, sizes).
    """
    sums = _running_sums(own)
    places = numpy.arange(len(own))
    before = sums[places] - sums[numpy.maximum(places - reach, 0)]
    after = sums[numpy.minimum(places + 1 + reach, len(own))] - sums[places + 1]
    return before / reach, after / reach


def _running_sums(rows: Weights) -> Weights:
    """RETURNS (Weights): The sums of the rows before each, and of all. Shape (rows + 1, columns)."""
    return numpy.vstack([numpy.zeros((1, rows.shape[1])), rows.cumsum(axis=0)])
