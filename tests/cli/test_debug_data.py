"""The command counts every split and warns."""

import json
import re

import pytest
import spacy
from spacy.cli._util import app
from spacy.tokens import DocBin, Span
from typer.testing import CliRunner

import spacy_bloom.cli  # noqa: F401  (adds its commands to spaCy's)
from spacy_bloom.cli.train.training_config import make_config


@pytest.fixture
def run():
    """A function that runs the command. RETURNS: its result."""

    def invoke(*arguments):
        result = CliRunner().invoke(app, ["bloom", "debug-data", *map(str, arguments)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return invoke


@pytest.fixture
def corpus(tmp_path):
    nlp = spacy.blank("xx")
    for split, text in (("train", "Ana met Bo"), ("dev", "Ana met Bo"), ("test", "नमस्ते " * 20 + "Ana")):
        doc = nlp.make_doc(text)
        doc.set_ents([Span(doc, 0, 1, "LOC" if split == "dev" else "PER")])
        DocBin(docs=[doc], store_user_data=True).to_disk(tmp_path / f"{split}.spacy")
    return tmp_path


def test_tables_and_warnings(run, corpus):
    result = run("tiny-bloom", corpus, "--window", 8)
    said = " ".join(result.output.split())
    assert result.exit_code == 0, said
    assert re.search(r"PER +1 +0 +1\n", result.output) and re.search(r"LOC +0 +1 +0\n", result.output)
    assert "dev: 1 of 1 texts stand in train too" in said and "ents that train does not have: LOC" in said
    assert "PIECES/TOKEN" in said and "longer than a window of 8 pieces" in said


def test_json(run, corpus):
    found = json.loads(run("tiny-bloom", corpus / "train.spacy", corpus / "dev.spacy", "--json", "-").output)
    assert list(found["splits"]) == ["train", "dev"] and found["window"] == 512
    assert found["splits"]["train"]["labels"] == {"ents": {"PER": 1}}
    assert found["splits"]["train"]["pieces"]["tokens"] == 3 and len(found["warnings"]) == 3


def test_a_config_says_checkpoint_windows_and_tokenizer(run, corpus, tmp_path):
    make_config(["ner"], hidden_size=32, lang="en").to_disk(tmp_path / "config.cfg")
    said = run(tmp_path / "config.cfg", corpus).output
    assert "12,288 pieces" in said and "(en); windows of 512 pieces with 128 of context" in " ".join(
        said.split()
    )


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["tiny-bloom", "empty"], "holds no .spacy file"),
        (["tiny-bloom", "bad.spacy"], "is not a file of Docs"),
        (["tiny-bloom", "none.spacy"], "has no Docs"),
        (["bad.cfg", "train.spacy"], "to be a training config with a BLOOM component"),
        (["./nothing", "train.spacy"], "No directory './nothing'"),
    ],
)
def test_what_cannot_be_read(run, corpus, monkeypatch, arguments, error):
    monkeypatch.chdir(corpus)
    (corpus / "empty").mkdir()
    (corpus / "bad.spacy").write_bytes(b"x")
    (corpus / "bad.cfg").write_text("[nlp]\npipeline = []\n", encoding="utf8")
    DocBin().to_disk(corpus / "none.spacy")
    result = run(*arguments)
    assert result.exit_code == 1 and error in " ".join(result.output.split())
