import importlib.util
import json
import sys
from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location(
    "evaluate_by_language", ROOT / "scripts" / "evaluate_by_language.py"
)
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)


@pytest.fixture
def nlp():
    nlp = spacy.blank("xx")
    nlp.add_pipe("entity_ruler").add_patterns(
        [{"label": "PER", "pattern": "Ana"}, {"label": "LOC", "pattern": "Rio"}]
    )
    return nlp


@pytest.fixture
def corpus(tmp_path, nlp):
    gold = {
        "en": ("Ana met Bo in Rio", [(0, 1, "PER"), (2, 3, "PER"), (4, 5, "LOC")]),
        "pt": ("Ana no Rio", [(0, 1, "PER")]),
    }
    for lang, (text, entities) in {**gold, "xx": ("Nada", [])}.items():
        doc = nlp.make_doc(text)
        doc.set_ents([spacy.tokens.Span(doc, *entity) for entity in entities])
        DocBin(docs=[doc], store_user_data=True).to_disk(tmp_path / f"test.{lang}.spacy")
    return tmp_path


def test_scores_by_language(nlp, corpus):
    rows = script.evaluate_folder(nlp, corpus)
    assert list(rows) == ["en", "pt", "xx", "micro", "macro"]
    names = ["docs", "right", "predicted", "gold", "precision", "recall", "f_score"]
    assert [rows["en"][name] for name in names] == pytest.approx([1, 2, 2, 3, 1, 2 / 3, 0.8])
    assert [rows["pt"][name] for name in names] == pytest.approx([1, 1, 2, 1, 0.5, 1, 2 / 3])
    assert [rows["xx"][name] for name in names] == [1, 0, 0, 0, 0.0, 0.0, 0.0]
    assert [rows["micro"][name] for name in names] == pytest.approx([3, 3, 4, 4, 0.75, 0.75, 0.75])
    assert rows["macro"]["f_score"] == pytest.approx((0.8 + 2 / 3) / 3)


def test_scores_are_those_of_spacy(nlp, corpus):
    for lang in ("en", "pt"):
        examples = script.read_examples(nlp, corpus / f"test.{lang}.spacy")
        scores, row = nlp.evaluate(examples), script.evaluate(nlp, examples)
        assert [row[name] for name in ("precision", "recall", "f_score")] == pytest.approx(
            [scores["ents_p"], scores["ents_r"], scores["ents_f"]]
        )


def test_bits_of_a_byte_by_language(tmp_path):
    nlp = spacy.blank("xx")
    nlp.add_pipe("bloom_surprisal")
    texts = {"en": ["The river was high.", ""], "hi": ["नदी"], "none": [""]}
    for lang, own in texts.items():
        DocBin(docs=[nlp.make_doc(text) for text in own]).to_disk(tmp_path / f"test.{lang}.spacy")
    rows = script.evaluate_folder(nlp, tmp_path, task="bits")
    docs = [nlp(text) for text in ("The river was high.", "नदी")]
    bits = [doc._.bits_per_byte for doc in docs]
    assert [rows[lang]["docs"] for lang in (*texts, "micro")] == [1, 1, 0, 2]
    assert [rows["en"]["bits_per_byte"], rows["hi"]["bits_per_byte"]] == pytest.approx(bits, rel=1e-5)
    expected = sum(b * len(doc.text.encode()) for b, doc in zip(bits, docs, strict=True)) / (19 + 9)
    assert rows["micro"]["bits_per_byte"] == pytest.approx(expected, rel=1e-5)
    assert "28" in script.table(rows, "bits")


def test_command(nlp, corpus, tmp_path, monkeypatch, capsys):
    nlp.to_disk(tmp_path / "pipeline")
    arguments = [str(tmp_path / "pipeline"), str(corpus), "--json", str(tmp_path / "scores.json")]
    monkeypatch.setattr(sys, "argv", ["evaluate_by_language.py", *arguments])
    script.main()
    assert "micro" in capsys.readouterr().out
    assert json.loads((tmp_path / "scores.json").read_text())["micro"]["f_score"] == pytest.approx(0.75)


def test_an_empty_folder_says_what_is_missing(nlp, tmp_path):
    with pytest.raises(ValueError, match="test.LANG.spacy"):
        script.evaluate_folder(nlp, tmp_path)
