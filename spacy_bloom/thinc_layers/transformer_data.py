"""The transformer's output on Docs, in spacy-transformers' classes, which its listeners can read."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy
from numpy.typing import NDArray
from spacy.tokens import Doc, Span
from spacy_transformers.data_classes import (
    FullTransformerBatch,
    ModelOutput,
    TransformerData,
    WordpieceBatch,
)
from thinc.api import get_array_module
from thinc.types import Floats2d, Floats3d, Ragged

from .pieces.windows import DocPieces


@dataclass
class BloomTransformerData(TransformerData):
    """The output for one Doc. It stays on the Doc until its last reader has read it.

    token_ends (NDArray | None): Where the tokens that the output is aligned with end in the Doc's text. Shape
        (tokens,). None after serialization.
    readers (set[int] | None): Ids of the listeners that have not read it yet. None keeps it on the Doc.
    source (str | None): Name of the component that wrote it.
    """

    token_ends: NDArray[numpy.int64] | None = field(default=None, compare=False)
    readers: set[int] | None = field(default=None, compare=False)
    source: str | None = field(default=None, compare=False)


def doc_output(pieces: DocPieces, vectors: Floats2d) -> BloomTransformerData:
    """The output for one Doc: one row with all its pieces, each of them once, even if several windows saw it.

    vectors (Floats2d): Last hidden states. Shape (pieces, hidden_size).
    RETURNS (BloomTransformerData): last_hidden_state has shape (1, pieces, hidden_size). As in spacy-transformers,
        there is none for a Doc without tokens.
    """
    length = len(pieces.ids)
    if length == 0:
        empty = TransformerData.empty()
        return BloomTransformerData(empty.wordpieces, empty.model_output, empty.align, pieces.token_ends)
    wordpieces = WordpieceBatch(
        strings=[pieces.strings],
        input_ids=pieces.ids[None],
        attention_mask=numpy.ones((1, length), dtype="float32"),
        lengths=[length],
        token_type_ids=None,
    )
    output = ModelOutput(last_hidden_state=vectors[None])
    return BloomTransformerData(wordpieces, output, pieces.align, pieces.token_ends)


def remove_output(doc: Doc) -> None:
    """Remove the output from a Doc, with its entry: Doc.from_docs warns about an entry even if it is None."""
    entries: dict[Any, Any] = doc.user_data
    entries.pop(("._.", "trf_data", None, None), None)


class BloomTransformerBatch(FullTransformerBatch):
    """The output for a batch of Docs, stored Doc by Doc. The padded batch of the base class is only built on request.

    docs (Sequence[Doc]): The Docs.
    doc_data (Sequence[TransformerData]): Their outputs, or the gradients of those.
    """

    def __init__(self, docs: Sequence[Doc], doc_data: Sequence[TransformerData]) -> None:
        self.docs = list(docs)
        self.cached_doc_data = list(doc_data)

    @property
    def spans(self) -> list[list[Span]]:  # type: ignore[override]
        """RETURNS (list[list[Span]]): Each Doc as one span, none for Docs without tokens."""
        return [[doc[:]] if len(doc) else [] for doc in self.docs]

    @property
    def _filled(self) -> list[TransformerData]:
        return [data for data in self.doc_data if len(data.wordpieces)]

    @property
    def wordpieces(self) -> WordpieceBatch:  # type: ignore[override]
        """RETURNS (WordpieceBatch): All pieces, padded on the right with id 0 and mask 0."""
        rows = [data.wordpieces for data in self._filled]
        return WordpieceBatch(
            strings=[row.strings[0] for row in rows],
            input_ids=_pad_rows([row.input_ids[0] for row in rows]),
            attention_mask=_pad_rows([row.attention_mask[0] for row in rows]),
            lengths=[row.lengths[0] for row in rows],
            token_type_ids=None,
        )

    @property
    def model_output(self) -> ModelOutput:  # type: ignore[override]
        """RETURNS (ModelOutput): last_hidden_state of shape (Docs with tokens, longest, hidden_size)."""
        rows = [data.model_output["last_hidden_state"][0] for data in self._filled]
        return ModelOutput(last_hidden_state=_pad_rows(rows)) if rows else ModelOutput()

    @property
    def align(self) -> Ragged:
        """RETURNS (Ragged): The pieces of all tokens, as indices into the padded batch."""
        longest = max((data.wordpieces.lengths[0] for data in self._filled), default=0)
        indices = [data.align.dataXd + i * longest for i, data in enumerate(self._filled)]
        lengths = [data.align.lengths for data in self._filled]
        empty = numpy.zeros((0,), dtype="int32")
        return Ragged(numpy.concatenate([empty, *indices]), numpy.concatenate([empty, *lengths]))

    def unsplit_by_doc(self, arrays: list[list[Floats3d]]) -> "BloomTransformerBatch":
        """Join gradients by Doc into those of the batch. As in listeners, Docs without tokens are left out.

        arrays (list[list[Floats3d]]): One array per Doc with tokens. Shape (1, pieces, hidden_size).
        RETURNS (BloomTransformerBatch): The gradients, for the model's backward pass.
        """
        gradients = iter(arrays)
        doc_data = []
        for data in self.doc_data:
            output = (
                ModelOutput(last_hidden_state=next(gradients)[0]) if len(data.wordpieces) else ModelOutput()
            )
            doc_data.append(TransformerData(data.wordpieces, output, data.align))
        return BloomTransformerBatch(self.docs, doc_data)

    def split_by_doc(self) -> list[TransformerData]:
        """RETURNS (list[TransformerData]): The outputs by Doc."""
        return self.doc_data


def _pad_rows(rows: list) -> numpy.ndarray:
    """RETURNS (ndarray): Rows in one array, zeros on the right. Shape (rows, longest, ...)."""
    if not rows:
        return numpy.zeros((0, 0), dtype="int64")
    xp = get_array_module(rows[0])
    padded = xp.zeros((len(rows), max(map(len, rows)), *rows[0].shape[1:]), dtype=rows[0].dtype)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
    return padded
