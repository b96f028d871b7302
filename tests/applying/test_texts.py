import pytest
from spacy.vocab import Vocab

from spacy_bloom.applying.shards import Shard
from spacy_bloom.applying.texts import read_shard
from spacy_bloom.errors import InputError


def read(kind, *rows, **options):
    return list(read_shard(Shard("f" + kind, 0, kind, list(rows), len(rows), 5), Vocab(), **options))


def test_records_keep_what_is_flat():
    row = b'{"text": "a", "id": 3, "lang": "es", "ok": true, "none": null, "list": [1], "more": {"a": 1}}'
    assert read(".jsonl", row) == [("a", {"id": 3, "lang": "es", "ok": True, "none": None})]
    assert read(".jsonl", b'{"body": "a", "text": "b"}', text_key="body") == [("a", {"text": "b"})]


@pytest.mark.parametrize(
    ("kind", "row", "got"),
    [
        (".jsonl", b"{", "row 6: .* got"),
        (".jsonl", b"[1]", r"got \[1\]"),
        (".jsonl", b'{"body": "a"}', "got None for 'text'"),
        (".jsonl", rb'{"text": "\ud800"}', "half of a surrogate"),
        (".jsonl", b"[" * 100_000, "row 6"),
        (".txt", b"\xff\xfe", "text in UTF-8"),
        (".parquet", {"text": 5}, "got 5 for 'text'"),
    ],
)
def test_rows_without_a_text_are_named(kind, row, got):
    good = {".txt": b"a", ".jsonl": b'{"text": "a"}', ".parquet": {"text": "a"}}[kind]
    with pytest.raises(InputError, match=got):
        read(kind, good, row)
