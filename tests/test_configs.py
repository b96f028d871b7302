"""Every config in the repository is valid as it stands."""

import shutil
from pathlib import Path

import pytest
from spacy import util
from spacy.cli._util import app
from spacy.schemas import ConfigSchemaTraining
from spacy.util import registry
from typer.main import get_command
from weasel.util.config import load_project_config

from spacy_bloom import bundled_path
from spacy_bloom.checkpoint.sources import BUNDLED_PIPELINES
from spacy_bloom.cli import bloom_cli
from spacy_bloom.cli.train.lm_config import read_config

ROOT = Path(__file__).parent.parent
CONFIGS = sorted((ROOT / "configs").glob("*.cfg"))
LM_CONFIGS = [path for path in CONFIGS if path.name.startswith("train_lm")]
PIPELINE_CONFIGS = [path for path in CONFIGS if path not in LM_CONFIGS]


def test_there_are_configs_of_both_kinds():
    assert LM_CONFIGS
    assert PIPELINE_CONFIGS


@pytest.mark.parametrize("path", PIPELINE_CONFIGS, ids=lambda path: path.name)
def test_pipeline_config_is_valid(path):
    config = util.load_config(path)
    nlp = util.load_model_from_config(config, auto_fill=True, validate=True)
    assert nlp.pipe_names == config["nlp"]["pipeline"]
    training = registry.resolve(nlp.config.interpolate()["training"], schema=ConfigSchemaTraining)
    assert training["max_epochs"] > 0 or training["max_steps"] > 0


@pytest.mark.parametrize("path", LM_CONFIGS, ids=lambda path: path.name)
def test_language_model_config_is_valid(path):
    config = util.load_config(path, overrides={"paths.text": "texts"})
    assert read_config(config).training.max_minutes > 0


def app_commands(typer_app):
    return set(get_command(typer_app).commands)


def test_project_is_valid_and_names_files_that_exist(tmp_path):
    shutil.copy(ROOT / "project.yml", tmp_path)
    project = load_project_config(tmp_path)  # it makes the project's folders
    assert set(project["workflows"]["all"]) <= {command["name"] for command in project["commands"]}
    assert (ROOT / project["vars"]["config"]).is_file()
    known = {*app_commands(app), *(f"bloom {name}" for name in app_commands(bloom_cli))}
    lines = [line.split() for command in project["commands"] for line in command["script"]]
    for words in lines:
        assert words[:3] == ["python", "-m", "spacy"]
        assert " ".join(words[3 : 5 if words[3] == "bloom" else 4]) in known


@pytest.mark.parametrize("name", BUNDLED_PIPELINES)
def test_a_bundled_pipeline_names_no_place_of_the_machine_it_was_made_on(name):
    paths = util.load_config(bundled_path(name) / "config.cfg")["paths"]
    assert {name: value for name, value in paths.items() if value is not None} == {"checkpoint": "tiny-bloom"}
