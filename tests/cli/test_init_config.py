"""The command writes a config that `spacy train` takes, and says what is wrong with what it is asked for."""

import random
import re
import shutil

import pytest
import spacy
from spacy import util
from spacy.cli._util import app
from spacy.cli.train import train
from spacy.tokens import DocBin, Span
from typer.testing import CliRunner

import spacy_bloom.cli  # noqa: F401  (adds its commands to spaCy's)
from spacy_bloom.cli.train.training_tasks import TASKS

from ..conftest import OLD_CLICK


@pytest.fixture
def run():
    """A function that runs the command. RETURNS: what it printed on one line, and its exit code."""

    def invoke(*arguments):
        result = CliRunner().invoke(app, ["bloom", "init-config", *map(str, arguments)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return invoke


def words(result):
    return " ".join(result.output.split())


@pytest.mark.skipif(OLD_CLICK, reason="Help has other lines.")
def test_help_names_every_task(run):
    result = run("--help")
    assert result.exit_code == 0
    for name, task in TASKS.items():
        assert re.search(rf"^ +{name} .*{re.escape(task.about)}$", result.output, flags=re.MULTILINE)


def test_writes_a_config_and_says_what_comes_next(run, tmp_path):
    path = tmp_path / "new" / "config.cfg"
    result = run(path, "--task", "ner", "--task", "textcat", "--lang", "ar,en")
    assert result.exit_code == 0, result.output
    said = words(result)
    assert "- Tasks: ner, textcat" in said and "- Learns from: doc.ents, doc.cats" in said
    assert "- Checkpoint: tiny-bloom (5,029,248 parameters)" in said and "- Hardware: CPU" in said
    assert "learning rate 0.001" in said and "Overwriting" not in said
    assert f"spacy train {path} --output training --paths.train" in said and "--gpu-id" not in said
    config = util.load_config(path)
    assert config["nlp"]["lang"] == "xx" and config["components"]["bloom_token_classifier"]


def test_replaces_a_file_only_if_asked_to(run, tmp_path):
    path = tmp_path / "config.cfg"
    path.write_text("mine", encoding="utf8")
    result = run(path, "-t", "ner")
    assert result.exit_code == 1 and "--force" in words(result)
    assert path.read_text(encoding="utf8") == "mine"
    result = run(path, "-t", "ner", "--force")
    assert result.exit_code == 0 and "Overwriting" in words(result)
    assert "bloom_token_classifier" in path.read_text(encoding="utf8")


def test_stdout_has_the_config_and_nothing_else(run):
    result = run("-", "-t", "senter")
    assert util.load_config_from_str(result.output)["nlp"]["pipeline"] == ["transformer", "senter"]
    assert result.output.startswith("[paths]")
    failed = run("-", "-t", "nothing")
    assert failed.exit_code == 1 and (failed.stdout == "" or OLD_CLICK)


def test_a_published_size_is_known_without_its_files(run, tmp_path):
    path = tmp_path / "config.cfg"
    result = run(path, "-t", "ner,qa", "--checkpoint", "bloom-560m", "--gpu")
    said = words(result)
    assert result.exit_code == 0, said
    assert "bigscience/bloom-560m (559,214,592 parameters)" in said and "learning rate 0.00005" in said
    assert "computing in bfloat16" in said and "On a CPU" in said and "--gpu-id 0" in said
    assert "it has its own BLOOM" in said
    assert util.load_config(path)["paths"]["checkpoint"] == "bigscience/bloom-560m"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["-t", "nerr"], "Expected one or more of the tasks ner, .* got 'nerr'"),
        (["-t", "tag,tagger"], "'tag' and 'tagger' both write token.tag"),
        (["-t", "ner", "-l", "qq"], "knows no language 'qq'"),
        (["-t", "ner", "-c", "./nothing"], "No directory './nothing'"),
        (["-t", "ner", "-c", "owner/not-there"], "No checkpoint 'owner/not-there'"),
        (["-t", "ner", "-o", "speed"], "'speed' is not one of"),
        ([], "Missing option"),
    ],
)
def test_what_cannot_be_done(run, tmp_path, options, error):
    result = run(tmp_path / "config.cfg", *options)
    assert result.exit_code != 0
    assert re.search(error, words(result)), words(result)
    assert not list(tmp_path.iterdir())


def test_checkpoints_that_cannot_be_trained(run, tmp_path, tiny_checkpoint):
    for missing in ("tokenizer.json", "model.safetensors"):
        copy = tmp_path / missing
        shutil.copytree(tiny_checkpoint, copy)
        (copy / missing).unlink()
        result = run(tmp_path / "config.cfg", "-t", "ner", "-c", copy)
        assert result.exit_code == 1 and "cannot be trained" in words(result)
    assert not (tmp_path / "config.cfg").exists()


@pytest.fixture
def corpus(tmp_path):
    """A .spacy file whose Docs have entities, tags and categories."""
    nlp, rng = spacy.blank("xx"), random.Random(0)
    docs = []
    for _ in range(30):
        name, verb = rng.choice(["Ana", "Wei"]), rng.choice(["sings", "runs"])
        doc = nlp.make_doc(f"{name} {verb} in {rng.choice(['Lima', 'Cairo'])}")
        doc.set_ents([Span(doc, 0, 1, "PER"), Span(doc, 3, 4, "LOC")])
        for token in doc:
            token.tag_ = "NAME" if token.is_title else "WORD"
        doc.cats = {"music": float(verb == "sings"), "sport": float(verb == "runs")}
        docs.append(doc)
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "docs.spacy")
    return tmp_path / "docs.spacy"


def test_the_config_trains(run, corpus, checkpoint, tmp_path):
    path = tmp_path / "config.cfg"
    assert run(path, "-t", "ner,tagger,textcat", "-c", checkpoint, "-l", "en").exit_code == 0
    overrides = {
        "paths.train": str(corpus),
        "paths.dev": str(corpus),
        "training.max_steps": 4,
        "training.optimizer.learn_rate.total_steps": 4,
        "training.eval_frequency": 4,
        "training.batcher.size": 60,
        "training.optimizer.learn_rate.warmup_steps": 1,
        "training.logger.progress_bar": None,
    }
    train(path, tmp_path / "training", overrides=overrides)
    nlp = spacy.load(tmp_path / "training" / "model-best")
    scores = nlp.meta["performance"]
    assert all(scores[name] is not None for name in ("ents_f", "tag_acc", "cats_score"))
    doc = nlp("Ana sings in Lima")
    assert set(doc.cats) == {"music", "sport"} and all(token.tag_ for token in doc)
