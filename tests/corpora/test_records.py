"""What a record says about its text is kept."""

import pytest
import spacy

from spacy_bloom.corpora.convert import Settings, convert
from spacy_bloom.corpora.records import set_metadata
from spacy_bloom.errors import InputError


def test_metadata(nlp):
    doc = nlp.make_doc("a")
    set_metadata(doc, {"meta": {"genre": "news", "year": 1990, "more": [1]}}, "reviews")
    assert doc.user_data == {"genre": "news", "year": 1990, "lang": "reviews"}
    for record in ({"lang": "fr"}, {"meta": {"lang": "fr"}}):
        doc = nlp.make_doc("a")
        set_metadata(doc, record, "reviews")
        assert doc.user_data["lang"] == "fr"


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("cats", '{"text": "a", "cats": {"x": 1%s}}' % ("0" * 400)),
        ("cats", '{"text": "a", "label": "\\ud800"}'),
        ("spans", '{"text": "a", "spans": [[0, 1, "\\ud800"]]}'),
    ],
    ids=["a number", "a label", "a label of a span"],
)
def test_what_spacy_cannot_store(tmp_path, kind, line):
    (tmp_path / "a.train.jsonl").write_text(line, encoding="utf8")
    with pytest.raises(InputError, match="line 1"):
        convert(tmp_path, tmp_path / "out", kind, spacy.blank("xx"), Settings())


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("a.train.conll", b"a\tO\nb\xff\tO\n", "is not UTF-8"),
        ("a.train.conllu", b"1\ta\xff\t_\t_\t_\t_\t0\t_\t_\t_\n", "is not UTF-8"),
        (
            "a.train.conllu",
            b"1-99999999999\ta" + b"\t_" * 8 + b"\n",
            "up to 1000 words",
        ),
        ("a.train.conllu", b"1\ta\t_\t_\t_\t_\t" + b"9" * 30 + b"\t_\t_\t_\n", "could not be converted"),
    ],
    ids=["conll", "conllu", "a token of many words", "a head that is far"],
)
def test_columns_that_nobody_wrote(tmp_path, name, content, match):
    (tmp_path / name).write_bytes(content)
    kind = "conll" if name.endswith("conll") else "conllu"
    with pytest.raises(InputError, match=match):
        convert(tmp_path, tmp_path / "out", kind, spacy.blank("xx"), Settings())
