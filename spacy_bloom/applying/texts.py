"""The texts of a shard, with what is known of each."""

import json
from typing import Any, Dict, Iterator, Tuple, Union

from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from ..corpora.records import Unreadable, text_of
from ..errors import InputError
from .shards import Shard, is_text

Text = Tuple[Union[str, Doc], Dict[str, Any]]
KEPT = (str, int, float, bool, type(None))


def read_shard(shard: Shard, vocab: Vocab, *, text_key: str = "text") -> Iterator[Text]:
    """shard (Shard): The shard.
    vocab (Vocab): For Docs.
    text_key (str): Name of the text in records.
    YIELDS (tuple[str | Doc, dict[str, Any]]): A text, or a Doc as it was saved; and of a record its other fields that
        are strings, numbers, truth values or null. What is nested is left out.
    RAISES (InputError): A row has no text. It names the file and the row.
    """
    if shard.kind == ".spacy":
        for data in shard.rows:
            for doc in DocBin(store_user_data=True).from_bytes(data).get_docs(vocab):
                yield doc, {}
        return
    for number, row in enumerate(shard.rows, start=shard.first):
        if not is_text(row):
            continue
        try:
            yield _text_of_line(row, number) if shard.kind == ".txt" else _text_of_record(row, text_key)
        except (ValueError, RecursionError, Unreadable) as error:
            expected = "text in UTF-8" if shard.kind == ".txt" else f'a record as {{"{text_key}": "..."}}'
            raise InputError(f"{shard.source}, row {number}: expected {expected}, got {error}.") from None


def _text_of_line(line: bytes, number: int) -> Text:
    text = line.decode("utf8").rstrip("\r\n")
    return (text.removeprefix("\ufeff") if number == 1 else text), {}


def _text_of_record(row: Any, text_key: str) -> Text:
    record = json.loads(row.decode("utf-8-sig")) if isinstance(row, bytes) else row
    if not isinstance(record, dict):
        raise Unreadable(repr(record)[:60])
    known = {key: value for key, value in record.items() if key != text_key and isinstance(value, KEPT)}
    return text_of(record, text_key), known
