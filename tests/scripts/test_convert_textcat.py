import importlib.util
import json
import sys
from collections import Counter
from pathlib import Path

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import DocBin

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data" / "textcat"


def load_script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script = load_script("convert_textcat")
evaluation = load_script("evaluate_by_language")
SETS = {
    "en": [("a goal", "sports"), ("an atom", "science")],
    "zh": [("射门", "sports"), ("原子", "science"), ("投票", "politics")],
    "en_sentiment": [("good", "positive"), ("bad", "negative"), ("", "negative")],
}


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    for name, rows in SETS.items():
        for split in script.SPLITS:
            lines = [json.dumps({"text": text, "label": label, "id": "x"}) for text, label in rows]
            (folder / f"{name}.{split}.jsonl").write_text("\n".join(lines) + "\n\n", encoding="utf8")
    return folder


def load(path):
    return list(DocBin(store_user_data=True).from_disk(path).get_docs(spacy.blank("xx").vocab))


def test_convert(source, tmp_path):
    report = script.convert(source, tmp_path / "one", seed=1)
    script.convert(source, tmp_path / "two", seed=1)
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == sorted(
        ["train.spacy", "dev.spacy", "test.spacy"]
        + [f"{split}.{name}.spacy" for split in ("dev", "test") for name in SETS]
    )
    assert report["en", "train"] == {"docs": 2, "tokens": 4} and report["zh", "dev"]["docs"] == 3
    docs = load(tmp_path / "one" / "train.spacy")
    assert [doc.text for doc in docs] == [doc.text for doc in load(tmp_path / "two" / "train.spacy")]
    assert Counter(doc.user_data["lang"] for doc in docs) == {"en": 2, "zh": 3, "en_sentiment": 3}
    for doc in docs:  # every label of the data set, and no other's
        name = doc.user_data["lang"]
        assert set(doc.cats) == {label for _, label in SETS[name]}
        (label,) = [label for label, value in doc.cats.items() if value == 1.0]
        assert (doc.text, label) in SETS[name] and sum(doc.cats.values()) == 1.0
    assert [len(doc) for doc in load(tmp_path / "one" / "test.zh.spacy")] == [2, 2, 2]


@pytest.mark.parametrize(
    "select, names",
    [
        ([], set(SETS)),
        (["topics"], {"en", "zh"}),
        (["sentiment"], {"en_sentiment"}),
        (["zh"], {"zh"}),
        (["sentiment", "zh"], {"zh", "en_sentiment"}),
    ],
)
def test_select(source, tmp_path, select, names):
    report = script.convert(source, tmp_path / "out", select=select)
    assert {name for name, _ in report} == names


def test_what_is_not_there(source, tmp_path):
    with pytest.raises(
        ValueError, match=r"no data set called \['fr'\]; it has \['en', 'en_sentiment', 'zh'\]"
    ):
        script.convert(source, tmp_path / "out", select=["fr"])
    with pytest.raises(ValueError, match="no file"):
        script.convert(tmp_path, tmp_path / "out")


@pytest.mark.parametrize(
    "bad", ["no json", "[1]", '{"text": "a"}', '{"text": 1, "label": "x"}', '{"text": "", "label": ""}']
)
def test_lines_that_are_not_understood(tmp_path, bad):
    path = tmp_path / "en.dev.jsonl"
    path.write_text('{"text": "ok\\u2028ok", "label": "x"}\n' + bad, encoding="utf8")
    with pytest.raises(ValueError, match=r"line 2: got .*, expected an object"):
        list(script.read_jsonl(path))


def test_command(source, tmp_path, monkeypatch, capsys):
    arguments = [str(source), str(tmp_path / "out"), "--select", "topics"]
    monkeypatch.setattr(sys, "argv", ["convert_textcat.py", *arguments])
    script.main()
    last = capsys.readouterr().out.splitlines()[-1].split()
    assert last[:2] == ["all", "15"]
    monkeypatch.setattr(sys, "argv", ["convert_textcat.py", *arguments[:2], "--select", "fr"])
    with pytest.raises(SystemExit):
        script.main()
    assert "no data set" in capsys.readouterr().err


# Scores by language


@Language.component("sports_or_science")
def sports_or_science(doc):
    sports = float(doc.text in ("a goal", "射门", "投票"))
    doc.cats = {"sports": sports, "science": 1.0 - sports, "politics": 0.0}
    return doc


def test_scores_by_language(source, tmp_path, monkeypatch, capsys):
    corpus = tmp_path / "corpus"
    script.convert(source, corpus, select=["topics"])
    nlp = spacy.blank(
        "xx", config={"nlp": {"tokenizer": {"@tokenizers": "spacy-bloom.MultilingualTokenizer.v1"}}}
    )
    nlp.add_pipe("sports_or_science")
    rows = evaluation.evaluate_folder(nlp, corpus, task="cats")
    assert list(rows) == ["en", "zh", "micro", "macro"]
    assert rows["en"] == {"docs": 2, "right": 2, "accuracy": 1.0, "f_score": 1.0}
    chinese = (2 / 3 + 1 + 0) / 3  # sports: precision 1/2, recall 1
    assert rows["zh"] == pytest.approx({"docs": 3, "right": 2, "accuracy": 2 / 3, "f_score": chinese})
    together = (4 / 5 + 1 + 0) / 3
    assert rows["micro"] == pytest.approx({"docs": 5, "right": 4, "accuracy": 0.8, "f_score": together})
    assert rows["macro"] == pytest.approx({"accuracy": 5 / 6, "f_score": (1 + chinese) / 2})
    nlp.to_disk(tmp_path / "pipeline")
    arguments = [
        str(tmp_path / "pipeline"),
        str(corpus),
        "--task",
        "cats",
        "--json",
        str(tmp_path / "scores.json"),
    ]
    monkeypatch.setattr(sys, "argv", ["evaluate_by_language.py", *arguments])
    evaluation.main()
    assert "accuracy" in capsys.readouterr().out
    assert json.loads((tmp_path / "scores.json").read_text())["micro"]["accuracy"] == pytest.approx(0.8)


@pytest.mark.skipif(
    not DATA.is_dir(), reason="the shared texts are not beside the checkout (../shared/data/textcat)"
)
def test_the_shared_texts(tmp_path):
    report = script.convert(DATA, tmp_path, select=["zh", "yo_sentiment"])
    assert report["zh", "train"]["docs"] == 501 and report["yo_sentiment", "test"]["docs"] == 500
    labels = {name: set(load(tmp_path / f"dev.{name}.spacy")[0].cats) for name in ("zh", "yo_sentiment")}
    assert len(labels["zh"]) == 7 and labels["yo_sentiment"] == {"positive", "neutral", "negative"}
