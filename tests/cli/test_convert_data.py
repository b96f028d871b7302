"""The command converts, counts and warns."""

import json
import re

import pytest
from spacy.cli._util import app
from spacy.tokens import DocBin
from typer.testing import CliRunner

import spacy_bloom.cli  # noqa: F401  (adds its commands to spaCy's)
from spacy_bloom.corpora.convert import KINDS

from ..conftest import OLD_CLICK

ROWS = [
    {
        "text": "Bank of Lima",
        "spans": [{"start": 0, "end": 12, "label": "ORG"}, {"start": 8, "end": 12, "label": "LOC"}],
    }
] * 3


@pytest.fixture
def run():
    """A function that runs the command. RETURNS: its result, with what it printed on one line as `words`."""

    def invoke(*arguments):
        result = CliRunner().invoke(app, ["bloom", "convert-data", *map(str, arguments)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        result.words = " ".join(result.output.split())
        return result

    return invoke


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "en.train.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf8")
    return path


@pytest.mark.skipif(OLD_CLICK, reason="Help has other lines.")
def test_help_names_every_type(run):
    said = run("--help").output
    assert all(kind.about in said for kind in KINDS.values())


def test_counts_and_warnings(run, source, tmp_path):
    result = run(source, tmp_path / "out", "--json", tmp_path / "counts.json")
    assert result.exit_code == 0, result.output
    assert "Converted spans data" in result.words and "all 3 9 3 3" in result.words
    assert (
        "3 annotations without a token, or that overlap others, were left out; with --spans-key sc"
        in result.words
    )
    assert "There is no dev data" in result.words
    counts = json.loads((tmp_path / "counts.json").read_text(encoding="utf8"))
    assert counts == [{"name": "en", "split": "train", "docs": 3, "tokens": 9, "exact": 3, "dropped": 3}]


def test_overlapping_spans_are_kept_in_a_group(run, source, tmp_path, multilingual):
    assert "left out" not in run(source, tmp_path / "out", "--spans-key", "sc", "--lang", "en").words
    docs = (
        DocBin(store_user_data=True).from_disk(tmp_path / "out" / "train.spacy").get_docs(multilingual.vocab)
    )
    assert [[span.text for span in doc.spans["sc"]] for doc in docs] == [["Bank of Lima", "Lima"]] * 3


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--type", "csv"], "Expected one of the types auto, conll.*got 'csv'"),
        (["--type", "qa"], "line 1: got .*expected id, context"),
        (["--names", "fr"], "no data set called"),
        (["--dev", "0.6", "--test", "0.6"], "Expected shares"),
        (["--lang", "qq"], "knows no language 'qq'"),
    ],
)
def test_what_cannot_be_done(run, source, tmp_path, options, error):
    result = run(source, tmp_path / "out", *options)
    assert result.exit_code == 1 and re.search(error, result.words), result.words
    assert not (tmp_path / "out").exists()
