"""Texts that a tokenizer is given: one or several, pairs, words."""

from collections.abc import Iterable
from typing import Any

from ..errors import InputError


def is_batch(text: Any, is_split_into_words: bool) -> bool:
    """RETURNS (bool): Whether these are several texts (or texts of words), not one."""
    if not isinstance(text, (list, tuple)):
        return False
    return not is_split_into_words or (bool(text) and isinstance(text[0], (list, tuple)))


def pair_up(texts: list, pairs: Any) -> list:
    """RETURNS (list): Each text with its second. RAISES (InputError): There are not as many."""
    if isinstance(pairs, str) or not isinstance(pairs, Iterable):
        raise InputError(f"Expected a text_pair for each of {len(texts)} texts, got {str(pairs)[:40]!r}.")
    pairs = list(pairs)
    if len(pairs) != len(texts):
        raise InputError(f"Expected as many in text_pair as in text, got {len(texts)} and {len(pairs)}.")
    return list(zip(texts, pairs, strict=True))


def check_texts(texts: Any, is_split_into_words: bool) -> list:
    """RETURNS (list): The texts, or lists of words; two together are a pair. RAISES (InputError): Anything else."""
    if isinstance(texts, (str, bytes)) or not isinstance(texts, Iterable):
        expected = "sequences of words" if is_split_into_words else "texts"
        raise InputError(
            f"Expected a sequence of {expected}, got {type(texts).__name__}: {str(texts)[:40]!r}."
        )
    return [_check_input(text, is_split_into_words) for text in texts]


def _check_input(text: Any, is_split_into_words: bool) -> Any:
    if is_split_into_words:
        if isinstance(text, (list, tuple)) and text and isinstance(text[0], (list, tuple)):
            return tuple(_check_words(words) for words in _two(text))
        return _check_words(text)
    if isinstance(text, str):
        return _check_unicode(text)
    if isinstance(text, (list, tuple)):
        return tuple(_check_text(part) for part in _two(text))
    return _check_text(text)


def _two(pair: Any) -> Any:
    if len(pair) != 2:
        raise InputError(
            f"Expected a text, or two as a pair; got {len(pair)}: {str(pair)[:40]!r}. Words need "
            "is_split_into_words=True."
        )
    return pair


def _check_words(words: Any) -> list[str]:
    if isinstance(words, (str, bytes)) or not isinstance(words, Iterable):
        raise InputError(f"Expected a sequence of words, got {type(words).__name__}: {str(words)[:40]!r}.")
    return [_check_text(word) for word in words]


def _check_text(text: Any) -> str:
    if not isinstance(text, str):
        raise InputError(f"Expected text (str), got {type(text).__name__}: {str(text)[:40]!r}.")
    return _check_unicode(text)


def _check_unicode(text: str) -> str:
    """Half a surrogate pair, as damaged JSON or file names leave behind, has no bytes to encode."""
    try:
        text.encode("utf8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"Expected text of whole Unicode characters, got a lone surrogate at {error.start}: "
            f"{text[max(0, error.start - 10) : error.start + 10]!r}. Replace it, for example by U+FFFD."
        ) from None
    return text
