import inspect
import logging

import pytest
import spacy
from spacy import util
from spacy.cli._util import app
from spacy.cli.train import train_cli as spacy_train_cli
from spacy.training import loop
from typer.testing import CliRunner

import spacy_bloom.cli  # noqa: F401  (adds its commands to spaCy's)
from spacy_bloom.cli import train_pipeline
from spacy_bloom.cli.train_pipeline import train_alone, train_on_ranks
from spacy_bloom.errors import InputError


def test_it_has_all_of_spacys_options():
    ours = inspect.signature(train_pipeline.train_pipeline_cli).parameters
    assert [*inspect.signature(spacy_train_cli).parameters, "timeout"] == list(ours)
    result = CliRunner().invoke(app, ["bloom", "train", "--help"])
    assert result.exit_code == 0
    for option in ("--output", "--code", "--verbose", "--gpu-id", "--timeout"):
        assert option in result.output


def test_one_process_runs_spacys_command(monkeypatch, tmp_path):
    got = {}

    def train(config_path, output_path, **options):
        got.update(options, config_path=config_path, output_path=output_path)

    monkeypatch.setattr(train_pipeline.spacy_train, "train", train)
    (tmp_path / "config.cfg").write_text("[training]")
    command = [
        "bloom",
        "train",
        str(tmp_path / "config.cfg"),
        "-o",
        str(tmp_path),
        "--training.max_steps",
        "3",
    ]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert got["config_path"] == tmp_path / "config.cfg" and got["output_path"] == tmp_path
    assert got["overrides"] == {"training.max_steps": 3} and got["use_gpu"] == -1


def test_one_process_saves_whole(monkeypatch, tmp_path):
    """Killed while it saves, spaCy's own command leaves half a pipeline in model-last, and no model-best."""
    nlp, seen = spacy.blank("xx"), []

    def train(nlp, output_path):
        for _ in range(2):  # as spaCy's loop saves
            nlp.to_disk(output_path / "model-last")
            if (output_path / "model-best").exists():
                loop.shutil.rmtree(output_path / "model-best")
                seen.append((output_path / "model-best" / "meta.json").exists())
            loop.shutil.copytree(output_path / "model-last", output_path / "model-best")

    monkeypatch.setattr(train_pipeline, "train_nlp", train)
    monkeypatch.setattr(
        train_pipeline.spacy_train,
        "train",
        lambda config, output, **options: train_pipeline.spacy_train.train_nlp(nlp, output),
    )
    train_alone(tmp_path / "config.cfg", tmp_path, use_gpu=-1, overrides={})
    assert seen == [True] and train_pipeline.spacy_train.train_nlp is train
    assert {path.name for path in tmp_path.iterdir()} == {"model-best", "model-last"}
    spacy.load(tmp_path / "model-best")


def test_verbose_is_for_our_modules_too(monkeypatch, tmp_path):
    monkeypatch.setattr(train_pipeline.spacy_train, "train", lambda *args, **options: None)
    (tmp_path / "config.cfg").write_text("[training]")
    ours = logging.getLogger("spacy_bloom")
    monkeypatch.setattr(ours, "handlers", [])
    monkeypatch.setattr(ours, "level", logging.WARNING)
    assert (
        CliRunner().invoke(app, ["bloom", "train", str(tmp_path / "config.cfg"), "--verbose"]).exit_code == 0
    )
    assert ours.level == logging.DEBUG and ours.handlers == util.logger.handlers != []


def test_ranks_do_not_share_the_standard_input():
    with pytest.raises(InputError, match="standard input"):
        train_on_ranks("-", None, use_gpu=-1, overrides={})


def test_ranks_without_a_part_are_told(monkeypatch, capsys):
    monkeypatch.setattr(train_pipeline, "n_ranks", lambda: 2)
    train_pipeline._check_parts(4)
    assert capsys.readouterr().out == ""
    train_pipeline._check_parts(1)
    assert "multiple of 2" in " ".join(capsys.readouterr().out.split())


def test_a_run_without_a_seed_gets_one(monkeypatch):
    monkeypatch.setattr(train_pipeline, "from_first", lambda seed: 17)
    assert train_pipeline._common_seed(None) == 17 and train_pipeline._common_seed(5) == 5
