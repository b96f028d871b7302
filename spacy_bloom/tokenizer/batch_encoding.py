"""What encoding returns."""

import warnings
from collections import UserDict
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from tokenizers import Encoding
from typing_extensions import Self

from ..errors import BloomWarning, InputError
from .tensors import check_kind, to_tensor


class CharSpan(NamedTuple):
    """Characters of a text: the first, and the one after the last."""

    start: int
    end: int


class TokenSpan(NamedTuple):
    """Pieces of a row: the first, and the one after the last."""

    start: int
    end: int


class BatchEncoding(UserDict):
    """What encoding returns: `input_ids`, `attention_mask` and what was asked for, also as attributes. Of one text or
    several it also knows which piece is of which character, word (what the tokenizer cuts text into before pieces)
    and sequence (0, or 1 for the second of a pair).

    Methods that take an index of the batch may be called without it for the first row: `char_to_token(7)` is
    `char_to_token(0, 7)`.

    data (dict[str, Any] | None): The fields.
    encoding (Encoding | Sequence[Encoding] | None): The rows as the `tokenizers` library has them.
    tensor_type (str | None): "pt" or "np" to convert the fields.
    prepend_batch_axis (bool): Whether the fields are of one row, and tensors should be of a batch.
    n_sequences (int | None): 1 for texts, 2 for pairs; None asks the encodings.
    SOURCE: transformers' BatchEncoding.
    """

    def __init__(
        self,
        data: dict[str, Any] | None = None,
        encoding: Encoding | Sequence[Encoding] | None = None,
        tensor_type: str | None = None,
        prepend_batch_axis: bool = False,
        n_sequences: int | None = None,
    ) -> None:
        super().__init__(data)
        self._encodings = [encoding] if isinstance(encoding, Encoding) else encoding
        self._n_sequences = n_sequences
        if n_sequences is None and self._encodings:
            self._n_sequences = self._encodings[0].n_sequences
        self.convert_to_tensors(tensor_type=tensor_type, prepend_batch_axis=prepend_batch_axis)

    def __getitem__(self, item: Any) -> Any:
        """item (str | int | slice): A field; a row, or several, as the library has them; fields cut by a slice where
        there are no such rows.
        """
        if isinstance(item, str):
            return self.data[item]
        if self._encodings is not None:
            return self._encodings[item]
        if isinstance(item, slice):
            return {name: value[item] for name, value in self.data.items()}
        raise KeyError(f"Expected the name of a field or a slice, got {item!r}.")

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["data"][name]
        except KeyError:
            fields = sorted(map(str, self.__dict__.get("data", ())))
            raise AttributeError(f"The encoding has no {name!r}, only {fields}.") from None

    def __getstate__(self) -> dict[str, Any]:
        return {"data": self.data, "encodings": self._encodings, "n_sequences": self._n_sequences}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.data, self._encodings = state["data"], state["encodings"]
        self._n_sequences = state["n_sequences"]

    @property
    def n_sequences(self) -> int | None:
        """RETURNS (int | None): 1 for texts, 2 for pairs; None if it is not known."""
        return self._n_sequences

    @property
    def is_fast(self) -> bool:
        """RETURNS (bool): Whether the rows know characters and words, as those have that a tokenizer encoded."""
        return self._encodings is not None

    @property
    def encodings(self) -> list[Encoding] | None:
        """RETURNS (list[Encoding] | None): The rows as the library has them."""
        return self._encodings  # type: ignore[return-value]

    def _row(self, index: int) -> Encoding:
        if not self._encodings:
            raise InputError(
                "This encoding knows no characters and words: it was made from ids or loaded without them. Encode the "
                "text with the tokenizer."
            )
        return self._encodings[index]

    def _place(self, first: int, second: int | None) -> tuple[Encoding, int]:
        """RETURNS (tuple[Encoding, int]): The row, and the index in it."""
        return (self._row(0), first) if second is None else (self._row(first), second)

    def _piece(self, first: int, second: int | None) -> tuple[Encoding, int]:
        row, index = self._place(first, second)
        return row, index + len(row) if index < 0 else index

    def tokens(self, batch_index: int = 0) -> list[str]:
        """RETURNS (list[str]): The pieces of a row, in byte-level spelling."""
        return self._row(batch_index).tokens

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """RETURNS (list[int | None]): 0 for pieces of the first text, 1 for the second, None for padding and what was
        added.
        """
        return self._row(batch_index).sequence_ids

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """RETURNS (list[int | None]): The number of each piece's word; None for padding and what was added."""
        return self._row(batch_index).word_ids

    def words(self, batch_index: int = 0) -> list[int | None]:
        """RETURNS (list[int | None]): As `word_ids`, which should be called instead."""
        warnings.warn(
            "BatchEncoding.words is deprecated: call word_ids, which is the same.",
            FutureWarning,
            stacklevel=2,
        )
        return self.word_ids(batch_index)

    def token_to_sequence(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """RETURNS (int | None): 0 for a piece of the first text, 1 for the second."""
        row, index = self._piece(batch_or_token_index, token_index)
        return row.token_to_sequence(index)

    def token_to_word(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """RETURNS (int | None): The number of a piece's word."""
        row, index = self._piece(batch_or_token_index, token_index)
        return row.token_to_word(index)

    def token_to_chars(self, batch_or_token_index: int, token_index: int | None = None) -> CharSpan | None:
        """RETURNS (CharSpan | None): A piece's characters; None for what was added."""
        row, index = self._place(batch_or_token_index, token_index)
        span = row.token_to_chars(index)
        return None if span is None else CharSpan(*span)

    def word_to_tokens(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> TokenSpan | None:
        """RETURNS (TokenSpan | None): A word's pieces; None if it has none."""
        row, index = self._piece(batch_or_word_index, word_index)
        span = row.word_to_tokens(index, sequence_index)
        return None if span is None else TokenSpan(*span)

    def word_to_chars(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> CharSpan:
        """RETURNS (CharSpan): A word's characters."""
        row, index = self._place(batch_or_word_index, word_index)
        return CharSpan(*row.word_to_chars(index, sequence_index))

    def char_to_token(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """RETURNS (int | None): The piece of a character; None if it has none."""
        row, index = self._place(batch_or_char_index, char_index)
        return row.char_to_token(index, sequence_index)

    def char_to_word(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """RETURNS (int | None): The number of a character's word."""
        row, index = self._place(batch_or_char_index, char_index)
        return row.char_to_word(index, sequence_index)

    def convert_to_tensors(self, tensor_type: str | None = None, prepend_batch_axis: bool = False) -> Self:
        """Convert the fields, in place.

        tensor_type (str | None): "pt" or "np"; None leaves them.
        prepend_batch_axis (bool): Make each field a batch of one.
        RETURNS (BatchEncoding): This encoding.
        RAISES (InputError): A field is no rectangle of numbers, or another kind of tensor.
        """
        if tensor_type is None:
            return self
        kind = check_kind(tensor_type)
        for name, value in self.data.items():
            self.data[name] = to_tensor([value] if prepend_batch_axis else value, kind, name)
        return self

    def to(self, device: str | int | torch.device, *, non_blocking: bool = False) -> Self:
        """Move the tensors to another device, in place. A dtype is refused with a warning: ids stay integers.

        RETURNS (BatchEncoding): This encoding.
        """
        if isinstance(device, (str, int, torch.device)):
            for name, value in self.data.items():
                if isinstance(value, torch.Tensor):
                    self.data[name] = value.to(device=device, non_blocking=non_blocking)
        else:
            message = (
                f"Expected a device, got {device!r}. The encoding stays as it is: ids have no other type."
            )
            warnings.warn(message, BloomWarning, stacklevel=2)
        return self
