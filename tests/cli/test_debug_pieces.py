"""The command shows texts and counts corpora as the checkpoint or the pipeline that it names cuts them."""

import json
import re
from pathlib import Path

import pytest
from spacy.cli._util import app
from typer.testing import CliRunner

import spacy_bloom.cli  # noqa: F401  (adds its commands to spaCy's)

DOCS = Path(__file__).parents[2] / "docs" / "tools.md"
TEXT = "Ana lives in 北京."


@pytest.fixture
def run():
    """A function that runs the command. RETURNS: its result, without an error that it should have handled."""

    def invoke(*arguments):
        result = CliRunner().invoke(app, ["bloom", "debug-pieces", *map(str, arguments)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return invoke


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus"
    path.mkdir()
    (path / "en.txt").write_text("The river was high.\n" * 3, encoding="utf8")
    (path / "hi.jsonl").write_text('{"text": "नदी ऊँची थी।"}\n{"text": ""}\n', encoding="utf8")
    return path


def words(result):
    return " ".join(result.output.split())


def test_help(run):
    result = run("--help")
    assert result.exit_code == 0 and "--corpus" in result.output and "--html" in result.output


def test_texts(run):
    result = run("tiny-bloom", TEXT, "b", "--window", 4, "--context", 1)
    assert result.exit_code == 0, result.output
    assert "Text 1" in result.output and "Text 2" in result.output
    assert "window 2: pieces 3 to" in result.output and "␣in" in result.output
    tokens = [line.split()[1] for line in result.output.splitlines() if line.strip()[:1].isdigit()]
    assert tokens == ["Ana", "lives", "in", "北", "京", ".", "b"]


def test_a_corpus(run, corpus, tmp_path):
    page, found = tmp_path / "page.html", tmp_path / "found.json"
    result = run("tiny-bloom", "--corpus", corpus, "--html", page, "--json", found)
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.output.splitlines()]
    rows = {name: [line[1:] for line in lines if line[:1] == [name]] for name in ("en", "hi", "(all)")}
    assert [rows[name][0][:3] for name in rows] == [["3", "0", "57"], ["2", "1", "12"], ["5", "1", "69"]]
    assert all([len(row) for row in of_group] == [8, 7] for of_group in rows.values())
    assert rows["en"][1][3] == "0.0%"  # single bytes
    assert "hi: 1 of 2 texts are empty" in words(result)
    found = json.loads(found.read_text(encoding="utf8"))
    assert found["groups"]["en"]["texts"] == 3 and found["total"]["characters"] == 3 * 19 + 12
    assert found["warnings"] == ["hi: 1 of 2 texts are empty or white space. Leave them out."]
    page = page.read_text(encoding="utf8")
    assert page.count('<section class="card">') == 4 and "en, text 3" in page and "नदी" in page


def test_json_on_stdout_is_alone(run, corpus, tmp_path):
    page = tmp_path / "page.html"
    found = json.loads(run("tiny-bloom", TEXT, "-c", corpus, "-j", "-", "-H", page).stdout)
    assert found["texts"][0]["text"] == TEXT and set(found["groups"]) == {"en", "hi"}
    assert (found["source"], found["window"], found["context"]) == ("tiny-bloom", 512, 128)
    assert page.read_text(encoding="utf8").count('<section class="card">') == 5


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "There is nothing to cut"),
        (["./nothing", "a"], "No directory './nothing'"),
        (["owner/not-there", "a"], "No checkpoint 'owner/not-there'"),
        (["tiny-bloom", "a", "--lang", "qq"], "knows no language 'qq'"),
        (["tiny-bloom", "a", "--window", "4", "--context", "4"], "Expected 0 <= context < window"),
        (["tiny-bloom", "a", "--window", "0"], "Expected 0 <= context < window"),
        (["tiny-bloom", "--corpus", "nothing"], "or a folder of these, got nothing"),
        (["tiny-bloom", "half \ud83d"], "Expected texts of whole Unicode characters"),
    ],
)
def test_what_cannot_be_done(run, arguments, error):
    result = run(*arguments)
    assert result.exit_code == 1 and error in words(result)


@pytest.mark.parametrize(("command", "n_lines"), [("debug-pieces", 3), ("init-config", 4)])
def test_commands_in_the_docs_have_these_options(command, n_lines):
    shown = CliRunner().invoke(app, ["bloom", command, "--help"]).output
    lines = [
        line for line in DOCS.read_text(encoding="utf8").splitlines() if f"spacy bloom {command}" in line
    ]
    options = re.findall(r"--[a-z-]+", " ".join(lines))
    assert len(lines) == n_lines and options and all(option in shown for option in options)
