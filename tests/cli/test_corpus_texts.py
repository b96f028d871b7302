"""Texts of a corpus come one by one, with their group."""

import json
from itertools import islice

import pytest
import spacy
from spacy.tokens import DocBin

from spacy_bloom.cli.corpus_texts import read_corpus
from spacy_bloom.errors import InputError


@pytest.fixture
def corpus(tmp_path):
    """A folder with one file of each kind, and one of another."""
    (tmp_path / "below").mkdir()
    (tmp_path / "en.txt").write_text("One.\n\n  \nTwo\u2028lines. \r\n", encoding="utf8", newline="")
    rows = [{"text": "नदी"}, {"text": ""}, {"text": "a\nb", "more": 1}]
    lines = "".join(json.dumps(row) + "\n\n" for row in rows)
    (tmp_path / "below" / "rows.jsonl").write_text(lines, encoding="utf8")
    nlp = spacy.blank("xx")
    docs = [nlp("Uno"), nlp("Trois"), nlp("")]
    docs[1].user_data["lang"] = "fr"
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "mixed.spacy")
    (tmp_path / "notes.md").write_text("no text of the corpus", encoding="utf8")
    return tmp_path


def test_a_folder(corpus):
    assert list(read_corpus(corpus)) == [
        ("rows", "नदी"),
        ("rows", ""),
        ("rows", "a\nb"),
        ("en", "One."),
        ("en", "Two\u2028lines. "),
        ("mixed", "Uno"),
        ("fr", "Trois"),
        ("mixed", ""),
    ]


def test_a_file(corpus):
    assert [text for _, text in read_corpus(corpus / "en.txt")] == ["One.", "Two\u2028lines. "]


def test_a_file_is_read_as_far_as_it_is_asked_for(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\nnot JSON\n', encoding="utf8")
    assert list(islice(read_corpus(tmp_path), 1)) == [("a", "one")]


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("a.jsonl", b'{"text": "one"}\n{"txt": "two"}\n', "a.jsonl, line 2"),
        ("a.jsonl", b'{"text": 1}\n', "line 1"),
        ("a.jsonl", b'["text"]\n', "line 1"),
        ("a.jsonl", b'{"text": "half a pair: \\ud83d"}\n', "whole Unicode characters"),
        ("a.jsonl", b"[" * 100_000, "line 1"),
        ("a.txt", b"\xff\xfe", "to be UTF-8"),
        ("a.spacy", b"nothing", "Expected Docs in"),
        ("a.csv", b"text", "or a folder with some"),
    ],
)
def test_what_is_no_corpus(tmp_path, name, content, error):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=error):
        list(read_corpus(tmp_path))


def test_files_that_are_not_read(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"text")
    for path in (tmp_path / "a.csv", tmp_path / "nothing"):
        with pytest.raises(InputError, match="Expected a file of .txt, .jsonl, .spacy"):
            list(read_corpus(path))
