"""Texts, languages and pipelines that commands are given."""

import pytest
import spacy
from spacy.tokens import Doc, DocBin

from spacy_bloom.cli import inputs
from spacy_bloom.cli.inputs import (
    MULTILINGUAL,
    find_language,
    find_pipeline,
    load_pipeline,
    read_named_texts,
    read_texts,
)
from spacy_bloom.errors import ConfigError, InputError

TEXTS = ["ein Text ", "今天天气很好。\n\n  zweiter Absatz", "</s> </s>"]


@pytest.fixture
def folder(tmp_path):
    """One file of each kind, and two that are none."""
    (tmp_path / "a.txt").write_bytes("\ufeffeins\r\n\n  \nzwei\u2028drei \n".encode())
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.jsonl").write_text(
        '{"text": "ein Text "}\n\n{"text": ""}\n{"meta": 1, "text": "a\\nb"}', encoding="utf8"
    )
    nlp = spacy.blank("xx")
    DocBin(docs=[nlp.make_doc(text) for text in TEXTS]).to_disk(tmp_path / "deep" / "c.spacy")
    (tmp_path / "notes.md").write_text("no text", encoding="utf8")
    (tmp_path / "broken.bin").write_bytes(b"\xff")
    return tmp_path


def test_every_kind_of_file(folder):
    lines, records = ["eins", "zwei\u2028drei "], ["ein Text ", "a\nb"]
    assert list(read_texts(folder / "a.txt")) == lines
    assert list(read_texts(folder / "deep" / "b.jsonl")) == records
    assert list(read_texts(folder / "deep" / "c.spacy")) == TEXTS
    assert list(read_texts(folder)) == [*lines, *records, *TEXTS]


def test_names_are_those_of_languages_or_files(folder):
    nlp = spacy.blank("xx")
    docs = [nlp.make_doc("Uno"), nlp.make_doc("Trois"), nlp.make_doc("")]
    docs[1].user_data["lang"] = "fr"
    DocBin(docs=docs, store_user_data=True).to_disk(folder / "mixed.spacy")
    assert list(read_named_texts(folder / "mixed.spacy")) == [
        ("mixed", "Uno"),
        ("fr", "Trois"),
        ("mixed", ""),
    ]
    assert list(read_named_texts(folder / "deep" / "b.jsonl")) == [
        ("b", "ein Text "),
        ("b", ""),
        ("b", "a\nb"),
    ]
    assert {name for name, _ in read_named_texts(folder)} == {"a", "b", "c", "mixed", "fr"}


def test_texts_come_as_they_are_read(folder):
    (folder / "endless.jsonl").write_text('{"text": "x"}\nbroken', encoding="utf8")
    texts = read_texts(folder / "endless.jsonl")
    assert next(texts) == "x"
    with pytest.raises(InputError, match=r"endless.jsonl, line 2: not JSON"):
        next(texts)


@pytest.mark.parametrize(
    "name, content, match",
    [
        ("x.txt", b"", "x.txt has no text"),
        ("x.txt", b"a\n\xff", "x.txt, line 2, byte 1: not UTF-8"),
        ("x.jsonl", b"\n", "x.jsonl has no text"),
        ("x.jsonl", b'{"text": ""}', "x.jsonl has no text"),
        ("x.jsonl", b'{"text": "\xff"}', "line 1: not JSON"),
        ("x.jsonl", b"[" * 100_000, "line 1: not JSON"),
        ("x.jsonl", b'["text"]', "line 1: expected a record"),
        ("x.jsonl", b'{"text": "half a pair: \\ud83d"}', "line 1: .* of whole characters"),
        ("x.jsonl", b'{"text": 3}', "line 1: expected a record"),
        ("x.jsonl", b'{"text": "a"}\n{"txt": "a"}', r"line 2: expected a record .* got b'\{\"txt\""),
        ("x.spacy", b"no Docs", "x.spacy is not a file of Docs"),
        ("x.spacy", DocBin().to_bytes(), "x.spacy has no text"),
        ("x.spacy", DocBin(docs=[Doc(spacy.blank("xx").vocab)]).to_bytes(), "x.spacy has no text"),
    ],
)
def test_what_has_no_texts(tmp_path, name, content, match):
    (tmp_path / name).write_bytes(content)
    for path in (tmp_path / name, tmp_path):
        with pytest.raises(InputError, match=match):
            list(read_texts(path))


def test_no_such_file(tmp_path):
    (tmp_path / "x.csv").write_text("text", encoding="utf8")
    for path, got in (("nothing.txt", "nothing"), ("x.csv", "another file"), ("", "a folder without any")):
        with pytest.raises(InputError, match=rf"\.txt, \.jsonl, \.spacy or a folder of these, got {got}"):
            list(read_texts(tmp_path / path))


@pytest.mark.parametrize("lang", ["en", "ar", "hi", "de"])
def test_a_language_with_spaces_keeps_spacys_rules(lang):
    assert find_language(lang) == (lang, {})


@pytest.mark.parametrize("lang", ["xx", "zh", "ja", "ko", "th", "vi", "bo"])
def test_a_language_that_needs_more_than_spaces(lang):
    code, tokenizer = find_language(lang)
    assert (code, tokenizer) == (lang, MULTILINGUAL)
    nlp = spacy.blank(code, config={"nlp": {"tokenizer": tokenizer}})  # without any other package
    assert [token.text for token in nlp("iPhone手机")] == ["iPhone", "手", "机"]


def test_several_languages_are_xx():
    assert find_language("en, fr,zh") == ("xx", MULTILINGUAL)
    assert find_language("en,en") == ("en", {})
    assert find_language("deu") == ("de", {})  # another code of the same language


@pytest.mark.parametrize("lang", ["qq", "", "en,", "../en", "en,qq"])
def test_an_unknown_language(lang):
    with pytest.raises(ConfigError, match="knows no language"):
        find_language(lang)


def test_where_a_pipeline_is(tmp_path, monkeypatch):
    pipeline = tmp_path / "demo_package" / "demo_package-0.0.0"
    pipeline.parent.mkdir()
    spacy.blank("en").to_disk(pipeline)
    assert find_pipeline(str(pipeline)) == pipeline
    assert find_pipeline("xx_bloom_tiny_qa").name == "xx_bloom_tiny_qa"
    for other in (str(tmp_path), "tiny-bloom", "bigscience/bloom-560m", "demo_package"):
        assert find_pipeline(other) is None
    monkeypatch.setattr(inputs, "is_package", lambda name: name == "demo_package")
    monkeypatch.setattr(inputs, "get_package_path", lambda name: tmp_path / name)
    assert find_pipeline("demo_package") == pipeline


def test_pipelines(tmp_path):
    spacy.blank("en").to_disk(tmp_path / "blank")
    assert load_pipeline(str(tmp_path / "blank")).lang == "en"
    assert "bloom_transformer" in load_pipeline("xx_bloom_tiny_demo").pipe_names
    for wrong in ("no_such_pipeline", str(tmp_path), str(tmp_path / "nowhere")):
        with pytest.raises(InputError, match="cannot be loaded"):
            load_pipeline(wrong)
