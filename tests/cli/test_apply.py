"""What the command adds to `apply_pipeline`: options, a report, an exit code."""

import pytest
import spacy
from spacy.cli._util import app
from spacy.tokens import DocBin
from spacy.vocab import Vocab
from typer.testing import CliRunner

import spacy_bloom.cli  # noqa: F401, adds the command


def run(*arguments):
    return CliRunner().invoke(app, ["bloom", "apply", *map(str, arguments)])


@pytest.fixture()
def pipeline(tmp_path):
    nlp = spacy.blank("xx")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "LOC", "pattern": "Lima"}])
    nlp.to_disk(tmp_path / "pipeline")
    return tmp_path / "pipeline"


def test_a_corpus_is_annotated(pipeline, tmp_path):
    (tmp_path / "a.txt").write_text("Ana en Lima\nnada\n")
    result = run(pipeline, tmp_path / "a.txt", tmp_path / "out")
    assert result.exit_code == 0, result.output
    box = DocBin().from_disk(tmp_path / "out" / "a.txt.docs" / "000000.spacy")
    assert [[ent.text for ent in doc.ents] for doc in box.get_docs(Vocab())] == [["Lima"], []]
    assert "2 Docs in 1 files" in " ".join(result.output.split())
    again = " ".join(run(pipeline, tmp_path / "a.txt", tmp_path / "out").output.split())
    assert "0 Docs in 0 files" in again and "1 files were there" in again


def test_shards_that_fail_are_reported(pipeline, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "Lima"}\n{}\n')
    result = run(pipeline, tmp_path / "a.jsonl", tmp_path / "out", "--shard-size", 1)
    assert result.exit_code == 1
    words = " ".join(result.output.split())
    assert "a.jsonl, row 2" in words and "failed three times" in words
    assert (tmp_path / "out" / "a.jsonl.docs" / "000000.spacy").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--gpus", 1], "--ray"),
        (["--gpu-id", 0, "--n-process", 2], "--gpus"),
        (["--code", "code.py", "--n-process", 2], "--code"),
        (["--format", "xml"], "'xml'"),
        (["--tensor-parallel", "--n-process", 2], "--tensor-parallel"),
        (["--tensor-parallel"], "torchrun"),
    ],
)
def test_options_that_do_not_go_together(pipeline, tmp_path, options, message):
    (tmp_path / "a.txt").write_text("Lima\n")
    result = run(pipeline, tmp_path / "a.txt", tmp_path / "out", *options)
    assert result.exit_code == 1 and message in " ".join(result.output.split())
