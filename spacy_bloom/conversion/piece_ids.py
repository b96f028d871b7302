"""Ids of pieces in the JSON files of a checkpoint."""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from ..settings import is_int

# Fields of config.json, generation_config.json and tokenizer_config.json, beside those that end in _token_id.
CONFIG_FIELDS = ("bad_words_ids", "force_words_ids", "suppress_tokens", "begin_suppress_tokens")
ENDING = "_token_id"
# The first has ids as its keys; the second is a list of pairs of ids and a bias.
RECORDS, BIASES = "added_tokens_decoder", "sequence_bias"
ID = re.compile(r"[0-9]{1,9}")
# Fields of padding and post-processors in tokenizer.json.
TOKENIZER_FIELDS = ("pad_id", "ids", "sep", "cls")


def with_ids(value: Any, change: Callable[[int], int], *, fields: Collection[str] = CONFIG_FIELDS) -> Any:
    """Change every id of a piece in a JSON file.

    value (Any): Content of the file, or a part of it.
    change (Callable): Given an id, returns the new one; may raise.
    fields (Collection[str]): Fields, at any depth, whose integers are ids.
    RETURNS (Any): The copy.
    """
    if isinstance(value, list):
        return [with_ids(item, change, fields=fields) for item in value]
    if not isinstance(value, Mapping):
        return value
    result = {}
    for name, item in value.items():
        if name in fields or name.endswith(ENDING):
            result[name] = _changed(item, change)
        elif name == RECORDS and isinstance(item, Mapping):
            result[name] = {_changed_key(key, change): record for key, record in item.items()}
        elif name == BIASES and isinstance(item, list):
            result[name] = [
                _changed(pair[:1], change) + pair[1:] if isinstance(pair, list) else pair for pair in item
            ]
        else:
            result[name] = with_ids(item, change, fields=fields)
    return result


def named_ids(value: Any, *, fields: Collection[str] = CONFIG_FIELDS) -> list[int]:
    """RETURNS (list[int]): The ids that `with_ids` changes."""
    found: list[int] = []

    def note(piece: int) -> int:
        found.append(piece)
        return piece

    with_ids(value, note, fields=fields)
    return found


def _changed(value: Any, change: Callable[[int], int]) -> Any:
    if isinstance(value, list):
        return [_changed(item, change) for item in value]
    return change(value) if is_int(value) else value


def _changed_key(key: str, change: Callable[[int], int]) -> str:
    return str(change(int(key))) if ID.fullmatch(key) else key
