"""Texts that a tokenizer is given, and the rows of ids that it returns."""

from collections.abc import Iterable
from numbers import Integral
from typing import Any

import numpy
import torch

from ..errors import InputError


class BatchEncoding(dict):
    """What encoding returns: `input_ids`, `attention_mask` and what was asked for, also as attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"The encoding has no {name!r}, only {sorted(self)}.") from None

    def to(self, device: str | torch.device) -> "BatchEncoding":
        """RETURNS (BatchEncoding): The same encoding with its tensors on another device."""
        return BatchEncoding({k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in self.items()})


def check_texts(texts: Any, is_split_into_words: bool) -> list:
    """RETURNS (list): The texts, or lists of words. RAISES (InputError): Anything else."""
    if isinstance(texts, (str, bytes)) or not isinstance(texts, Iterable):
        expected = "sequences of words" if is_split_into_words else "texts"
        raise InputError(
            f"Expected a sequence of {expected}, got {type(texts).__name__}: {str(texts)[:40]!r}."
        )
    if is_split_into_words:
        return [check_texts(words, False) for words in texts]
    texts = list(texts)
    for text in texts:
        if not isinstance(text, str):
            raise InputError(f"Expected text (str), got {type(text).__name__}: {str(text)[:40]!r}.")
        _check_unicode(text)
    return texts


def _check_unicode(text: str) -> None:
    """Half a surrogate pair, as damaged JSON or file names leave behind, has no bytes to encode."""
    try:
        text.encode("utf8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"Expected text of whole Unicode characters, got a lone surrogate at {error.start}: "
            f"{text[max(0, error.start - 10) : error.start + 10]!r}. Replace it, for example by U+FFFD."
        ) from None


def as_ids(ids: Any) -> tuple[list[int], bool]:
    """RETURNS (tuple[list[int], bool]): Ids as a list, and whether it was one id; numpy and torch have such too."""
    is_one = isinstance(ids, Integral) or getattr(ids, "ndim", None) == 0
    return [int(i) for i in ([ids] if is_one else ids)], is_one


def padded_length(
    padding: bool | str, max_length: int | None, lengths: list[int], multiple: int | None
) -> int | None:
    """The length that rows are padded to, or None for no padding."""
    if padding is False or padding == "do_not_pad":
        return None
    if padding == "max_length":
        if max_length is None:
            raise InputError("Got padding='max_length' without max_length. Say how long rows should be.")
        length = max(max_length, *lengths) if lengths else max_length
    elif padding is True or padding == "longest":
        length = max(lengths, default=0)
    else:
        raise InputError(f"Expected padding to be True, False, 'longest' or 'max_length', got {padding!r}.")
    if multiple is not None and multiple < 1:
        raise InputError(f"Expected pad_to_multiple_of to be 1 or more, got {multiple}.")
    return -(-length // multiple) * multiple if multiple else length


def pad(row: list, length: int, value: Any, side: str) -> list:
    padding = [value] * (length - len(row))
    return padding + row if side == "left" else row + padding


def to_array(rows: list, kind: str) -> Any:
    if len({len(row) for row in rows}) > 1:
        raise InputError(
            f"Rows of {min(map(len, rows))} to {max(map(len, rows))} pieces make no rectangular tensor. "
            "Pass padding=True."
        )
    array = numpy.array(rows, dtype=numpy.int64) if rows else numpy.zeros((0, 0), dtype=numpy.int64)
    if kind == "np":
        return array
    if kind == "pt":
        return torch.from_numpy(array)
    raise InputError(f"Expected return_tensors to be 'pt', 'np' or None, got {kind!r}.")
