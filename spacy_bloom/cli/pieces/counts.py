"""Counts of the pieces in a corpus, language by language, in one pass over a stream."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any

import numpy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import minibatch

from ...generation.piece_bytes import vocabulary_bytes
from ...pipeline.memory_zone import memory_zone
from ...thinc_layers.pieces.windows import DocPieces, WindowSettings, cut_docs
from ...tokenizer import BloomTokenizerFast

CHUNK_SIZE = 64  # texts
NOT_ASCII = 0x80
# Thresholds of the warnings: the share of a script's characters that are cut into bytes, and the number of characters
# that it takes to judge a script; the share of texts that are longer than a window.
MIN_FALLEN_SHARE, MIN_CHARACTERS = 0.2, 50
MIN_LONG_SHARE = 0.1


@dataclass
class Counts:
    """Counts of a group of texts.

    texts, empty (int): All texts, and those that are blank.
    characters, n_bytes, tokens, pieces (int): Totals over all texts.
    byte_pieces (int): Pieces that are a single byte of a multi-byte character.
    windows, long_texts (int): Windows, and texts that need more than one.
    changed (int): Texts whose pieces do not spell them.
    lengths (Counter): Number of texts by their length in pieces.
    per_token (Counter): Number of tokens by their number of pieces.
    scripts, fallen (Counter): Characters of each script, and those of them that are cut into bytes.
    """

    texts: int = 0
    empty: int = 0
    characters: int = 0
    n_bytes: int = 0
    tokens: int = 0
    pieces: int = 0
    byte_pieces: int = 0
    windows: int = 0
    long_texts: int = 0
    changed: int = 0
    lengths: Counter[int] = field(default_factory=Counter)
    per_token: Counter[int] = field(default_factory=Counter)
    scripts: Counter[str] = field(default_factory=Counter)
    fallen: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: "Counts") -> "Counts":
        """RETURNS (Counts): The sum of both."""
        return Counts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def summary(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): The figures by name; None where there is nothing to divide by."""
        n_of_tokens = sum(n * times for n, times in self.per_token.items())
        return {
            "texts": self.texts,
            "empty_texts": self.empty,
            "characters": self.characters,
            "bytes": self.n_bytes,
            "tokens": self.tokens,
            "pieces": self.pieces,
            "bytes_per_piece": _ratio(self.n_bytes, self.pieces),
            "pieces_per_token": _ratio(n_of_tokens, self.tokens),
            "pieces_per_token_95": percentile(self.per_token, 0.95),
            "byte_pieces_share": _ratio(self.byte_pieces, self.pieces),
            "pieces_per_text_median": percentile(self.lengths, 0.5),
            "pieces_per_text_95": percentile(self.lengths, 0.95),
            "pieces_per_text_max": max(self.lengths, default=None),
            "texts_longer_than_a_window": self.long_texts,
            "windows": self.windows,
            "texts_not_spelled": self.changed,
            "scripts_in_bytes": {
                name: round(n / self.scripts[name], 4) for name, n in self.fallen.most_common()
            },
        }


class PieceCounter:
    """Counts texts by group.

    nlp (Language): Its tokenizer makes the tokens.
    tokenizer (BloomTokenizerFast): Makes the pieces.
    windows (WindowSettings): How long texts are cut.
    """

    def __init__(self, nlp: Language, tokenizer: BloomTokenizerFast, windows: WindowSettings) -> None:
        self.nlp = nlp
        self.tokenizer = tokenizer
        self.windows = windows
        self.groups: dict[str, Counts] = {}
        vocabulary = vocabulary_bytes(tokenizer)
        self._n_bytes = numpy.zeros(max(vocabulary) + 1, dtype=numpy.int64)
        self._is_byte = numpy.zeros(len(self._n_bytes), dtype=bool)
        for i, spelled in vocabulary.items():
            self._n_bytes[i] = len(spelled)
            self._is_byte[i] = len(spelled) == 1 and spelled[0] >= NOT_ASCII

    def count(self, texts: Iterable[tuple[str, str]]) -> None:
        """Count a stream of pairs of a group and a text. Memory does not grow with it."""
        for batch in minibatch(texts, CHUNK_SIZE):
            with memory_zone(self.nlp):
                self._count_batch(batch)

    def _count_batch(self, batch: Sequence[tuple[str, str]]) -> None:
        docs = [self.nlp.tokenizer(text) for _, text in batch]
        for (group, _), doc, pieces in zip(batch, docs, cut_docs(self.tokenizer, docs), strict=True):
            self._count(self.groups.setdefault(group, Counts()), doc, pieces)

    def _count(self, counts: Counts, doc: Doc, pieces: DocPieces) -> None:
        text = doc.text
        n_bytes, n_pieces = len(text.encode("utf8")), len(pieces.ids)
        n_windows = len(self.windows.cut([n_pieces]))
        is_byte = self._is_byte[pieces.ids]
        counts.texts += 1
        counts.empty += not text.strip()
        counts.characters += len(text)
        counts.n_bytes += n_bytes
        counts.tokens += len(doc)
        counts.pieces += n_pieces
        counts.byte_pieces += int(is_byte.sum())
        counts.windows += n_windows
        counts.long_texts += n_windows > 1
        counts.changed += int(self._n_bytes[pieces.ids].sum()) != n_bytes
        counts.lengths[n_pieces] += 1
        values, times = numpy.unique(pieces.align.lengths, return_counts=True)
        counts.per_token.update(dict(zip(values.tolist(), times.tolist(), strict=True)))
        for character, n in Counter(text).items():
            counts.scripts[script_of(character)] += n
        for start in numpy.unique(pieces.offsets[is_byte, 0]).tolist():
            counts.fallen[script_of(text[start])] += 1


@cache
def script_of(character: str) -> str:
    """RETURNS (str): The first word of a character's Unicode name: "LATIN", "CJK", "DEVANAGARI", for symbols a word such
    as "LEFT"; "UNNAMED" for control characters.
    """
    return unicodedata.name(character, "UNNAMED").split()[0].split("-")[0]


def percentile(counter: Mapping[int, int], share: float) -> int | None:
    """counter (Mapping[int, int]): How often each value occurs.
    share (float): Share of the values, from 0 to 1.
    RETURNS (int | None): The lowest value that this share does not exceed; None without values.
    """
    needed, seen = share * sum(counter.values()), 0
    for value in sorted(counter):
        seen += counter[value]
        if seen >= needed and seen:
            return value
    return None


def find_warnings(name: str, counts: Counts, window: int) -> Iterator[str]:
    """YIELDS (str): What needs attention in a group, and what to do about it."""
    if counts.empty:
        yield f"{name}: {counts.empty:,} of {counts.texts:,} texts are empty or white space. Leave them out."
    if counts.changed:
        yield (
            f"{name}: the pieces of {counts.changed:,} texts do not spell them. Check whether the tokenizer normalizes "
            "text, adds a space before it, or lacks bytes."
        )
    for script, n in counts.fallen.most_common():
        share, n_all = n / counts.scripts[script], counts.scripts[script]
        if share >= MIN_FALLEN_SHARE and n_all >= MIN_CHARACTERS:
            yield (
                f"{name}: {share:.0%} of {n_all:,} {script} characters are cut into bytes: the tokenizer has no "
                "pieces for them. Use a checkpoint that knows this script, or expect lower accuracy."
            )
    if counts.long_texts >= max(1, MIN_LONG_SHARE * counts.texts):
        yield (
            f"{name}: {counts.long_texts:,} of {counts.texts:,} texts are longer than a window of {window} pieces, "
            f"{counts.windows:,} windows in all. Each repeats its context: cut the texts into paragraphs, or "
            "widen the window."
        )


def _ratio(one: int, other: int) -> float | None:
    return round(one / other, 4) if other else None
