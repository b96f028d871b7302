"""The command writes a config that `spacy train` takes, and says what is wrong with what it is asked for."""

import importlib
import random
import re
import shutil

import pytest
import spacy
from spacy import util
from spacy.cli._util import app
from spacy.cli.train import train
from spacy.kb import InMemoryLookupKB
from spacy.tokens import DocBin, Span
from typer.testing import CliRunner

import spacy_bloom.cli  # noqa: F401  (adds its commands to spaCy's)
from spacy_bloom.cli.train.cost import Rates
from spacy_bloom.cli.train.training_tasks import TASKS

init_config = importlib.import_module("spacy_bloom.cli.init_config")


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
    assert failed.exit_code == 1 and failed.stdout == ""


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
    """A .spacy file whose Docs have entities, spans that overlap, tags, lemmas, sentences and categories."""
    nlp, rng = spacy.blank("xx"), random.Random(0)
    docs = []
    for _ in range(30):
        name, verb = rng.choice(["Ana", "Wei"]), rng.choice(["sings", "runs"])
        doc = nlp.make_doc(f"{name} {verb} in {rng.choice(['Lima', 'Cairo'])}")
        doc.set_ents([Span(doc, 0, 1, "PER"), Span(doc, 3, 4, "LOC", kb_id=doc[3].text)])
        doc.spans["sc"] = [Span(doc, 0, 2, "ACT"), Span(doc, 0, 1, "PER")]
        for token in doc:
            token.tag_ = "NAME" if token.is_title else "WORD"
            token.lemma_ = token.text.removesuffix("s")
            token.is_sent_start = token.i == 0
        doc.cats = {"music": float(verb == "sings"), "sport": float(verb == "runs")}
        docs.append(doc)
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "docs.spacy")
    return tmp_path / "docs.spacy"


@pytest.fixture
def train_few(run, corpus, checkpoint, tmp_path):
    """A function that writes a config for pipes and trains a few steps. RETURNS: the trained pipeline."""

    def make(pipes, **options):
        path = tmp_path / "config.cfg"
        assert run(path, "-p", pipes, "-c", checkpoint, "-l", "en").exit_code == 0
        overrides = {
            "paths.train": str(corpus),
            "paths.dev": str(corpus),
            "training.max_steps": 4,
            "training.optimizer.learn_rate.total_steps": 4,
            "training.eval_frequency": 4,
            "training.batcher.size": 60,
            "training.optimizer.learn_rate.warmup_steps": 1,
            "training.logger.progress_bar": None,
            **options,
        }
        train(path, tmp_path / "training", overrides=overrides)
        return spacy.load(tmp_path / "training" / "model-last")

    return make


def test_the_config_trains(train_few):
    nlp = train_few("ner,tagger,textcat")
    scores = nlp.meta["performance"]
    assert all(scores[name] is not None for name in ("ents_f", "tag_acc", "cats_score"))
    doc = nlp("Ana sings in Lima")
    assert set(doc.cats) == {"music", "sport"} and all(token.tag_ for token in doc)


def test_spacys_own_components_train(train_few, tmp_path):
    """Also spans that overlap, and a linker with a knowledge base."""
    kb = InMemoryLookupKB(spacy.blank("en").vocab, entity_vector_length=64)
    for place in ("Lima", "Cairo"):
        kb.add_entity(place, freq=1, entity_vector=[float(place == "Lima")] * 64)
        kb.add_alias(place, [place], [1.0])
    kb.to_disk(tmp_path / "kb")
    pipes = "spacy.ner,spancat,trainable_lemmatizer,senter,entity_linker,spacy.textcat"
    nlp = train_few(
        pipes, **{"paths.kb": str(tmp_path / "kb"), "components.trainable_lemmatizer.min_tree_freq": 1}
    )
    names = ["transformer", "ner", "spancat", "trainable_lemmatizer", "senter", "entity_linker", "textcat"]
    assert nlp.pipe_names == names
    scores = nlp.meta["performance"]
    wanted = ("ents_f", "spans_sc_f", "lemma_acc", "sents_f", "nel_micro_f", "cats_score")
    assert all(scores[name] is not None for name in wanted)
    doc = nlp("Ana sings in Lima")
    assert "sc" in doc.spans and all(token.lemma_ for token in doc) and len(list(doc.sents)) >= 1


def test_spans_that_overlap_are_learned(train_few):
    """spancat on the transformer, as docs/tools.md shows it."""
    steps = {
        "training.max_steps": 60,
        "training.optimizer.learn_rate.total_steps": 60,
        "training.eval_frequency": 60,
    }
    nlp = train_few("spancat", **steps)
    doc = nlp("Ana sings in Lima")
    assert {(span.text, span.label_) for span in doc.spans["sc"]} == {("Ana sings", "ACT"), ("Ana", "PER")}


def test_the_cost_on_this_cpu_is_said(run, tmp_path, monkeypatch):
    monkeypatch.setattr(init_config, "measure_rates", lambda: Rates(1e12, 1e11))
    monkeypatch.setattr(init_config, "memory_here", lambda: {"CPU": 10**9})
    said = words(run(tmp_path / "config.cfg", "-p", "ner", "-c", "bloom-560m"))
    # 2,250 pieces, three products with 302 million weights each; Adam moves 28 bytes for each of 559 million weights.
    assert "Cost on this CPU, about: 4.2 s a step, 2.4 h in all" in said
    assert "with train_transformer = false: 1.4 s a step" in said and "This machine has 1.00 GB free" in said
    assert "Cost" not in words(run(tmp_path / "gpu.cfg", "-p", "ner", "-c", "bloom-560m", "--gpu"))
