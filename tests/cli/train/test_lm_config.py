"""Every fault of a config is named before anything is read."""

from pathlib import Path

import pytest
from thinc.api import Config

from spacy_bloom.cli.train.lm_config import read_config
from spacy_bloom.errors import ConfigError

CONFIG = Path(__file__).parents[3] / "configs" / "train_lm_tiny.cfg"


def make_sections(**changes):
    return {**Config().from_disk(CONFIG), **changes}


def test_the_config_is_read_as_it_stands():
    config = read_config(make_sections())
    assert config.tokenizer.vocab_size == 12288 and config.training.learning_rate == 2e-3


def test_fine_tuning_needs_no_tokenizer_and_model_sections():
    sections = make_sections(paths={"text": "x", "init_checkpoint": "y"})
    del sections["tokenizer"], sections["model"]
    assert read_config(sections).model is None
    with pytest.raises(ConfigError, match="missing key tokenizer.vocab_size.*missing key model.hidden_size"):
        read_config({**sections, "paths": {}})


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"trainings": {}}, r"unknown section \[trainings\]"),
        ({"model": 3}, r"\[model\] is 3"),
        ({"training": {"learning_rate": True}}, "training.learning_rate is True, expected a valid number"),
        ({"training": {"max_steps": 1}}, "missing key training.learning_rate"),
        (
            {"data": {"max_length": 1.5, "batch_pieces": 2}},
            "data.max_length is 1.5, expected a valid integer",
        ),
        ({"paths": {"text": [1]}}, r"paths.text is \[1\]"),
    ],
)
def test_ill_typed_configs(changes, message):
    with pytest.raises(ConfigError, match=message):
        read_config(make_sections(**changes))
