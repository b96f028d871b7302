"""Docs cut into pieces, and long Docs into windows of pieces."""

from collections.abc import Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import TypeVar

import numpy
from numpy.typing import NDArray
from spacy.tokens import Doc
from thinc.types import Ragged

from ...errors import ConfigError
from ...tokenizer import BloomTokenizerFast
from .alignment import align, token_offsets

SizedT = TypeVar("SizedT", bound=Sized)


@dataclass
class DocPieces:
    """The pieces of one Doc.

    ids (NDArray): Shape (pieces,).
    strings (list[str]): The pieces in their byte-level spelling.
    align (Ragged): The pieces of each token.
    token_ends (NDArray): Where each token ends in the Doc's text. Shape (tokens,).
    offsets (NDArray): Where each piece starts and ends in the Doc's text, in Unicode code points. A piece that holds
        part of a character has the character's offsets. Shape (pieces, 2).
    """

    ids: NDArray[numpy.int64]
    strings: list[str]
    align: Ragged
    offsets: NDArray[numpy.int64]
    token_ends: NDArray[numpy.int64]


@dataclass(frozen=True)
class Window:
    """A run of one Doc's pieces that the model sees at once.

    doc (int): Index of the Doc in its batch.
    start, end (int): The run.
    keep, keep_end (int): The pieces whose vectors are taken from this window. The others are context.
    """

    doc: int
    start: int
    end: int
    keep: int
    keep_end: int

    def __len__(self) -> int:
        return self.end - self.start

    @property
    def kept(self) -> slice:
        """RETURNS (slice): Where in the window the pieces stand that are kept."""
        return slice(self.keep - self.start, self.keep_end - self.start)


def cut_docs(tokenizer: BloomTokenizerFast, docs: Sequence[Doc]) -> list[DocPieces]:
    """Encode Docs. Text that looks like a control token is encoded as ordinary text.

    RETURNS (list[DocPieces]): One per Doc, without pieces for Docs without tokens.
    """
    texts = [doc.text for doc in docs]
    encodings = tokenizer.encode_plain(texts)
    result = []
    for doc, encoding in zip(docs, encodings, strict=True):
        offsets = numpy.array(encoding.offsets, dtype=numpy.int64).reshape(-1, 2)
        ids = numpy.array(encoding.ids, dtype=numpy.int64)
        starts, ends = token_offsets(doc)
        aligned = align(starts, ends, offsets[:, 0], offsets[:, 1])
        result.append(DocPieces(ids, encoding.tokens, aligned, offsets, ends))
    return result


@dataclass(frozen=True)
class WindowSettings:
    """How long Docs are cut. thinc does not serialize attributes of this type: a loaded model has those of its config.

    window (int): Maximum number of pieces that the model sees at once.
    context (int): Pieces that a window sees in addition, before those it is for.
    both_sides (bool): Whether it sees as many after them.
    RAISES (ConfigError): A window without room for new pieces.
    """

    window: int
    context: int
    both_sides: bool = False

    def __post_init__(self) -> None:
        limit, sides = ("window / 2", 2) if self.both_sides else ("window", 1)
        if not 0 <= sides * self.context < self.window:
            raise ConfigError(
                f"Expected 0 <= context < {limit}, in pieces; got context={self.context} and window={self.window}."
            )

    def cut(self, lengths: Sequence[int]) -> list[Window]:
        """Cover every piece of every Doc.

        lengths (Sequence[int]): Pieces of each Doc.
        RETURNS (list[Window]): In the order of the Docs; none for a Doc without pieces.
        """
        windows = []
        for doc, length in enumerate(lengths):
            start = keep = 0
            while keep < length:
                end = min(start + self.window, length)
                keep_end = end - self.context if self.both_sides and end < length else end
                windows.append(Window(doc, start, end, keep, keep_end))
                keep, start = keep_end, keep_end - self.context
        return windows


def batch_windows(windows: Sequence[SizedT], max_batch_items: int) -> Iterator[list[SizedT]]:
    """Sort windows by length, so that similar ones are attended together, and group them into batches.

    windows (Sequence[SizedT]): Anything whose length is a number of pieces.
    max_batch_items (int): Maximum number of pieces in a batch. A longer window is a batch of its own.
    YIELDS (list[SizedT]): Batches of windows, longest first.
    """
    batch: list[SizedT] = []
    pieces = 0
    for window in sorted(windows, key=len, reverse=True):
        if batch and pieces + len(window) > max_batch_items:
            yield batch
            batch, pieces = [], 0
        batch.append(window)
        pieces += len(window)
    if batch:
        yield batch
