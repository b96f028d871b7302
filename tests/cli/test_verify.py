import re

import pytest
from spacy.cli._util import app
from typer.testing import CliRunner

import spacy_bloom.cli  # noqa: F401  (adds its commands to spaCy's)
from spacy_bloom.cli import verify
from spacy_bloom.verification import Check


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(app, ["bloom", "verify", *map(str, arguments)])


def words_of(result):
    """The output as one line without colours."""
    return " ".join(re.sub(r"\x1b\[[\d;]*m", "", result.output).split())


def test_a_checkpoint_that_was_not_published(run, tiny_checkpoint):
    result = run(tiny_checkpoint, "--size", "bloom-1b1")
    words = words_of(result)
    assert result.exit_code == 1
    assert "parameters of bloom-1b1: different expected 1,065,314,304, got" in words
    assert "texts: not checked published for bloom-560m only" in words
    assert "same, 5 different, 1 not checked" in words
    assert run(tiny_checkpoint).exit_code == 1


def test_where_nothing_differs(run, tiny_checkpoint, monkeypatch):
    checks = [Check("pieces", "same", "250,680"), Check("texts", "not checked", "there are no weights")]
    monkeypatch.setattr(verify, "verify", lambda *arguments, **options: iter(checks))
    result = run(tiny_checkpoint)
    assert result.exit_code == 0 and "1 same, 0 different, 1 not checked" in words_of(result)


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["bloom-560m"], ("bigscience/bloom-560m", "bloom-560m", "gs555750")),
        (["bigscience/bloom-560m"], ("bigscience/bloom-560m", "bloom-560m", "gs555750")),
        (["bigscience/bloom-560m", "-r", "main"], ("bigscience/bloom-560m", "bloom-560m", "main")),
        (["bloom-3b"], ("bigscience/bloom-3b", "bloom-3b", None)),
        (["somebody/copy", "-s", "bloom-1b1"], ("somebody/copy", "bloom-1b1", None)),
    ],
)
def test_names_sizes_and_revisions(run, tmp_path, monkeypatch, arguments, expected):
    seen = []

    def find(name, *, revision, local_files_only):
        seen.extend([name, revision, local_files_only])
        return tmp_path

    monkeypatch.setattr(verify, "find_checkpoint", find)
    monkeypatch.setattr(verify, "verify", lambda path, size, revision: seen.append(size) or iter(()))
    assert run(*arguments, "--local").exit_code == 0
    assert (seen[0], seen[3], seen[1]) == expected and seen[2] is True


def test_what_cannot_be_verified(run, tmp_path):
    assert run(tmp_path).exit_code == 1
    result = run(tmp_path, "--size", "bloom-2b")
    assert result.exit_code == 1 and "bloom-2b" in result.output
