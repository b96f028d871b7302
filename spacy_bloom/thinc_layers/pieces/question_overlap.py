"""How much of a question is found at each place of a text and around it, from characters alone."""

import re
import unicodedata
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

from ..hashed_ngrams import Hashes, hashed_ngrams
from .alignment import Ints

Floats = NDArray[numpy.float32]

# Characters of an n-gram. Two are a word in Chinese, and say little in other languages.
SIZES = (2, 3, 4, 6, 9)
# Pieces before and after a piece, up to so many.
REACHES = (4, 16, 64)
N_FEATURES = len(SIZES) * (1 + 2 * len(REACHES))
SPACES = re.compile("  +")


class _Folding(dict[str, str]):
    """What a character counts as: itself without case, marks and width, a space for punctuation, or nothing."""

    def __missing__(self, character: str) -> str:
        parts = unicodedata.normalize("NFKD", character).casefold()
        self[character] = folded = "".join(map(_without_marks, parts))
        return folded


def _without_marks(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Cf" or unicodedata.combining(character):  # joiners, soft hyphens; accents, vowel signs
        return ""
    return " " if category[0] in "PZC" else character


FOLDING = _Folding()


def fold(text: str) -> tuple[str, Ints]:
    """Leave out what makes no difference to what a text says: case, marks on letters, punctuation.

    RETURNS (tuple[str, Ints]): The rest, in single spaces; and where in it each character of the text begins, and the
        last one ends. Shape (characters of the text + 1,).
    """
    parts = [FOLDING[character] for character in text]
    folded = f" {''.join(parts)} "
    starts = numpy.cumsum([1, *map(len, parts)])
    is_space = numpy.frombuffer(folded.encode("utf-32-le"), dtype="<u4") == ord(" ")
    is_kept = numpy.append(True, ~(is_space[1:] & is_space[:-1]))
    kept_before = numpy.cumsum(is_kept) - is_kept
    return SPACES.sub(" ", folded), kept_before[starts]


@dataclass(frozen=True, eq=False)
class TextNgrams:
    """The character n-grams of a text, to compare with any number of questions.

    places (Ints): Where each character of the text begins without what is left out, and the last one ends. Shape
        (characters of the text + 1,).
    length (int): Characters without what is left out.
    by_size (dict[int, tuple[Hashes, Floats, Ints]]): Hashes of the different n-grams, sorted; how rare each is in the
        text, from 1 for those that occur once towards 0; and the number of the n-gram that begins with each character.
    """

    places: Ints
    length: int
    by_size: dict[int, tuple[Hashes, Floats, Ints]]

    @classmethod
    def of(cls, text: str) -> "TextNgrams":
        """RETURNS (TextNgrams): Of a text."""
        folded, places = fold(text)
        found = hashed_ngrams(folded, SIZES[-1])
        by_size = {size: _with_rarity(hashed) for size, hashed in found if size in SIZES}
        return cls(places, len(folded), by_size)


def _with_rarity(hashed: Hashes) -> tuple[Hashes, Floats, Ints]:
    different, numbers, counts = numpy.unique(hashed, return_inverse=True, return_counts=True)
    rarity = 1 - numpy.log(counts) / numpy.log(len(hashed) + 1)
    return different, rarity.astype("float32"), numbers


@dataclass(frozen=True, eq=False)
class QuestionOverlap:
    """How much of a question is found in a text.

    own (Floats): By piece and size of n-grams, the mean over the piece's characters of how rare the rarest n-gram over
        each is that the question has too. Shape (pieces, sizes).
    largest (Floats): For each reach, side and size, the largest mean of `own` over the pieces on that side of a piece.
        Shape (2 * reaches, sizes).
    """

    own: Floats
    largest: Floats

    @classmethod
    def of(cls, ngrams: TextNgrams, question: str, offsets: Ints) -> "QuestionOverlap":
        """Compare a text with a question.

        ngrams (TextNgrams): Of the text.
        question (str): The question.
        offsets (Ints): Where each piece of the text starts and ends in it. Shape (pieces, 2).
        RETURNS (QuestionOverlap): Of the two.
        """
        sums = _running_sums(_covered(ngrams, question))
        starts, ends = ngrams.places[offsets[:, 0]], ngrams.places[offsets[:, 1]]
        own = (sums[ends] - sums[starts]) / numpy.maximum(ends - starts, 1)[:, None]
        around = _means_around(own, 0, len(own))
        return cls(own.astype("float32"), around.max(axis=1, initial=0.0).astype("float32"))

    def features(self, start: int, end: int) -> Floats:
        """RETURNS (Floats): Of a run of pieces: `own`, and the means over the pieces before and after each as a share
        of the largest one. Shape (end - start, N_FEATURES).
        """
        around = _means_around(self.own, start, end) / numpy.where(self.largest > 0, self.largest, 1)[:, None]
        return numpy.hstack([self.own[start:end], *around]).astype("float32")


def _covered(ngrams: TextNgrams, question: str) -> Floats:
    """RETURNS (Floats): How rare the rarest n-gram over each character is that the question has too, by size; 0
    without one. Shape (characters without what is left out, sizes).
    """
    covered = numpy.zeros((ngrams.length, len(SIZES)), dtype="float32")
    folded, _ = fold(question)
    asked = dict(hashed_ngrams(folded, SIZES[-1]) if folded.strip() else ())
    for size in ngrams.by_size.keys() & asked.keys():
        different, rarity, numbers = ngrams.by_size[size]
        places = numpy.minimum(numpy.searchsorted(different, asked[size]), len(different) - 1)
        shared = numpy.zeros_like(rarity)
        found = places[different[places] == asked[size]]
        shared[found] = rarity[found]
        by_place = shared[numbers]
        column = covered[:, SIZES.index(size)]
        for place in range(size):
            part = column[place : place + len(by_place)]
            numpy.maximum(part, by_place, out=part)
    return covered


def _means_around(own: Floats, start: int, end: int) -> NDArray[numpy.float64]:
    """RETURNS (NDArray): For each reach, sums over the pieces before and then after each piece of a run, by how many
    there could be. Shape (2 * reaches, pieces of the run, sizes).
    """
    first, last = max(start - REACHES[-1], 0), min(end + REACHES[-1], len(own))
    sums = _running_sums(own[first:last])
    here = numpy.arange(start, end) - first
    means = []
    for reach in REACHES:
        means.append((sums[here] - sums[numpy.maximum(here - reach, 0)]) / reach)
        means.append((sums[numpy.minimum(here + 1 + reach, last - first)] - sums[here + 1]) / reach)
    return numpy.stack(means)


def _running_sums(rows: Floats) -> NDArray[numpy.float64]:
    """RETURNS (NDArray): The sums of the rows before each, and of all. Shape (rows + 1, columns)."""
    return numpy.vstack([numpy.zeros((1, rows.shape[1])), rows.cumsum(axis=0, dtype="float64")])
