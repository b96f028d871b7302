"""The command scores, writes a page and JSON, and says what it cannot do."""

import json
import re

import pytest
import spacy
from spacy.cli._util import app
from spacy.tokens import DocBin, Span
from typer.testing import CliRunner

import spacy_bloom.cli  # noqa: F401  (adds its commands to spaCy's)


@pytest.fixture
def run():
    """A function that runs the command. RETURNS: its result."""

    def invoke(*arguments):
        result = CliRunner().invoke(app, ["bloom", "evaluate", *map(str, arguments)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return invoke


@pytest.fixture
def pipeline(tmp_path):
    nlp = spacy.blank("xx")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "PER", "pattern": "Ana"}])
    nlp.to_disk(tmp_path / "pipeline")
    return tmp_path / "pipeline"


@pytest.fixture
def corpus(tmp_path):
    nlp = spacy.blank("xx")
    folder = tmp_path / "corpus"
    folder.mkdir()
    docs = []
    for lang, text in (("en", "Ana met Bo"), ("en", "Ana sings"), ("pt", "Ana canta")):
        doc = nlp.make_doc(text)
        doc.set_ents([Span(doc, i, i + 1, "PER") for i in (0, 2) if i < len(doc)])
        doc.user_data.update(lang=lang, year=1990 + len(docs))
        docs.append(doc)
    DocBin(docs=docs, store_user_data=True).to_disk(folder / "test.spacy")
    return folder


def test_tables_page_and_json(run, pipeline, corpus, tmp_path):
    result = run(
        pipeline, corpus, "--html", tmp_path / "page.html", "--json", tmp_path / "new" / "scores.json"
    )
    assert result.exit_code == 0, result.output
    assert re.search(r"en +2 +3 +2 +2 +100\.00 +66\.67 +80\.00", result.output)
    assert re.search(r"\(mean\) +100\.00 +83\.33 +90\.00", result.output)
    found = json.loads((tmp_path / "new" / "scores.json").read_text(encoding="utf8"))
    assert found["docs"] == 3 and found["scores"]["ents"]["micro"]["right"] == 3
    assert "What went wrong" in (tmp_path / "page.html").read_text(encoding="utf8")


def test_stdout_has_json_and_nothing_else(run, pipeline, corpus):
    found = json.loads(run(pipeline, corpus, "--by", "year", "--limit", 1, "--json", "-").output)
    assert list(found["scores"]["ents"]["groups"]) == ["1990", "1991", "1992"]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--task", "entities"], "Expected one of the tasks"),
        (["--split", "dev"], "no dev.NAME.spacy"),
        (["--by", "genre"], "to group them by"),
        (["--html", "."], "is a directory"),
    ],
)
def test_what_cannot_be_done(run, pipeline, corpus, options, error):
    result = run(pipeline, corpus, *options)
    assert result.exit_code != 0 and error in " ".join(result.output.split())
