import pytest
import torch

from spacy_bloom.cli.train.lm_config import read_config
from spacy_bloom.cli.train.lm_models import DividedModel, OneModel, dropout_of
from spacy_bloom.errors import ConfigError
from spacy_bloom.pretraining.engine import OneProcess

CONFIG = {
    "paths": {"init_checkpoint": "somewhere"},
    "data": {"max_length": 16, "batch_pieces": 64},
    "training": {"learning_rate": 0.1, "max_steps": 1},
    "model": {"hidden_size": 8, "n_layer": 1, "n_head": 1, "hidden_dropout": 0.25},
}


def config(**training):
    return read_config({**CONFIG, "training": {**CONFIG["training"], **training}})


def test_one_process_takes_a_checkpoint_with_the_dropout_of_the_config(checkpoint):
    model, engine = OneModel(config(), "cpu").from_checkpoint(checkpoint)
    assert model.config.hidden_dropout == 0.25 and model.config.hidden_size == 32
    assert isinstance(engine, OneProcess) and engine.model is model
    assert dropout_of(config()) == {"hidden_dropout": 0.25, "attention_dropout": 0.0}


def test_half_precision_is_for_ranks():
    with pytest.raises(ConfigError, match="torchrun --nproc-per-node N"):
        OneModel(config(compute_dtype="bfloat16"), "cpu")
    assert DividedModel(config(compute_dtype="bfloat16"), "cpu").compute_dtype == torch.bfloat16


def test_idle_ranks_are_told(monkeypatch, capsys):
    monkeypatch.setattr("spacy_bloom.cli.train.lm_models.n_ranks", lambda: 2)
    DividedModel(config(accumulate_gradient=4), "cpu")
    assert capsys.readouterr().out == ""
    DividedModel(config(accumulate_gradient=3), "cpu")
    assert "training.accumulate_gradient to a multiple of 2" in " ".join(capsys.readouterr().out.split())
