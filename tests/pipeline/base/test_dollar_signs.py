"""Settings with dollar signs survive every way in which a pipeline and its config are written and read."""

import json

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.cli.init_config import fill_config
from spacy.cli.train import train
from spacy.tokens import Doc, DocBin
from spacy.util import load_config, load_model_from_config
from thinc.api import Config

from spacy_bloom.errors import ConfigError
from spacy_bloom.pipeline.base.dollar_signs import plain_settings, stored_settings

from ...conftest import OLD_CONFECTION

ZERO_SHOT, GENERATOR = "bloom_zero_shot", "bloom_text_generator"
CASES = {
    "labels": (ZERO_SHOT, {"labels": ["$5", "$$100", "a ${b} c", "${{", "$", "US$"]}),
    "verbalizers": (ZERO_SHOT, {"labels": ["a", "b"], "verbalizers": {"a": " $1", "b": " ${x}"}}),
    "prompt": (GENERATOR, {"prompt": "Price in US$ of {{ doc.text }}: ${{ doc.text }} $\\{ $$"}),
    "regex": (GENERATOR, {"constraint": {"type": "regex", "pattern": r"\$\{?[0-9]{2}$"}}),
    "stop": (GENERATOR, {"generation": {"stop_strings": ["$", "${", "$1.50$ 5 $", "\n"]}}),
    "schema": (
        GENERATOR,
        {
            "constraint": {
                "type": "json",
                "schema": {
                    "$defs": {"price": {"type": "string", "pattern": "^\\$[0-9]$"}},
                    "anyOf": [{"$ref": "#/$defs/price"}, {"const": "${none}"}],
                },
            }
        },
    ),
    "questions": (
        "bloom_question_answerer",
        {"questions": ["What costs $5?", "Who has ${all}?"], "separator": " $ "},
    ),
    "none": (GENERATOR, {"prompt": "{{ doc.text }}:"}),
}


@pytest.fixture(params=sorted(CASES))
def case(request, checkpoint):
    """A pipeline, the component's name, and the settings it was made with."""
    factory, config = CASES[request.param]
    nlp = spacy.blank("xx")
    if factory == "bloom_question_answerer":
        nlp.add_pipe("bloom_transformer", config={"model": {"name": checkpoint}})
        nlp.add_pipe(factory, config=config)
    else:
        nlp.add_pipe(factory, config={"model": {"name": checkpoint}, **config})
    return nlp, factory, config


def check(nlp, name, expected):
    """The component has the settings it was made with, and its config is the same as ever."""
    cfg = nlp.get_pipe(name).cfg
    assert {key: cfg[key] for key in expected} == expected
    config = nlp.config["components"][name]
    assert config.get("dollar") == ("[dollar]" if "$" in json.dumps(expected) else None)
    stored = {key: config[key] for key in expected}
    assert plain_settings(stored, config.get("dollar")) == expected and "$" not in json.dumps(stored)


def test_disk_and_bytes_any_number_of_times(case, tmp_path):
    nlp, name, expected = case
    check(nlp, name, expected)
    first = nlp.config["components"][name]
    for turn in range(2):
        nlp.to_disk(tmp_path / str(turn))
        nlp = spacy.load(tmp_path / str(turn))
        check(nlp, name, expected)
        nlp.from_bytes(nlp.to_bytes())
        nlp = load_model_from_config(Config().from_bytes(nlp.config.to_bytes(), interpolate=False))
        check(nlp, name, expected)
    assert {**nlp.config["components"][name], "model": 0} == {**first, "model": 0}


def test_config_files_filled_again_and_again(case, tmp_path):
    nlp, name, expected = case
    path = tmp_path / "config.cfg"
    nlp.config.to_disk(path)
    before = load_config(path)["components"][name]
    for _ in range(2):
        fill_config(path, path, silent=True)
        check(load_model_from_config(load_config(path)), name, expected)
        check(load_model_from_config(load_config(path, interpolate=True)), name, expected)
    assert load_config(path)["components"][name] == before


def test_sourced_renamed_and_copied_components(case, checkpoint, tmp_path):
    nlp, name, expected = case
    other = spacy.blank("xx")
    if name == "bloom_question_answerer":
        other.add_pipe("bloom_transformer", source=nlp)
    other.add_pipe(name, name="sourced", source=nlp)
    other.rename_pipe("sourced", "renamed")
    check(other, "renamed", expected)
    other.to_disk(tmp_path / "other")
    check(spacy.load(tmp_path / "other"), "renamed", expected)
    check(load_model_from_config(other.config), "renamed", expected)


def test_training(checkpoint, tmp_path):
    labels = ["$5", "${10}"]
    nlp = spacy.blank("xx")
    bag = {"exclusive_classes": True, "ngram_size": 1, "no_output_layer": False}
    nlp.add_pipe("textcat", config={"model": {"@architectures": "spacy.TextCatBOW.v3", **bag}})
    nlp.add_pipe(ZERO_SHOT, config={"model": {"name": checkpoint}, "labels": labels})
    docs = [Doc(nlp.vocab, words=["a", "b"]), Doc(nlp.vocab, words=["c"])]
    docs[0].cats, docs[1].cats = {"x": 1.0, "y": 0.0}, {"x": 0.0, "y": 1.0}
    DocBin(docs=docs).to_disk(tmp_path / "train.spacy")
    config = nlp.config
    config["training"].update({"max_steps": 1, "eval_frequency": 1})
    config.to_disk(tmp_path / "config.cfg")
    paths = {"paths.train": str(tmp_path / "train.spacy"), "paths.dev": str(tmp_path / "train.spacy")}
    for turn in range(2):  # the second time from the config that training wrote
        train(tmp_path / "config.cfg", tmp_path / str(turn), overrides=paths)
        trained = spacy.load(tmp_path / str(turn) / "model-last")
        check(trained, ZERO_SHOT, {"labels": labels})
        assert set(labels) <= set(trained("a").cats)
        (tmp_path / str(turn) / "model-last" / "config.cfg").rename(tmp_path / "config.cfg")


@pytest.mark.skipif(OLD_CONFECTION, reason="It changes dollar signs that are written by hand.")
def test_a_file_written_by_hand(checkpoint):
    text = f"""
[nlp]
lang = "xx"
pipeline = ["{GENERATOR}"]
[vars]
start = "Price"
[components]
[components.{GENERATOR}]
factory = "{GENERATOR}"
prompt = PROMPT
[components.{GENERATOR}.model]
@architectures = "spacy-bloom.LanguageModel.v1"
name = {json.dumps(checkpoint)}
"""
    for written, dollar, expected in [
        ('"In US$: {{ doc.text }}"', "", "In US$: {{ doc.text }}"),
        ('"%{{ doc.text }}"', 'dollar = "%"', "${{ doc.text }}"),
        ("${vars.start}", "", "Price"),
    ]:
        config = Config().from_str(text.replace("PROMPT", f"{written}\n{dollar}"), interpolate=False)
        nlp = load_model_from_config(config, auto_fill=True)
        assert nlp.get_pipe(GENERATOR).cfg["prompt"] == expected
    assert nlp.config["components"][GENERATOR]["prompt"] == "${vars.start}", "variables stay"


@pytest.mark.skipif(OLD_CONFECTION, reason="It changes dollar signs that are written by hand.")
def test_settings_are_overridden_with_plain_text(checkpoint, tmp_path):
    nlp = spacy.blank("xx")
    nlp.add_pipe(ZERO_SHOT, config={"model": {"name": checkpoint}, "labels": ["$5", "x"]})
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path, config={f"components.{ZERO_SHOT}.labels": ["$7", "y"]})
    check(loaded, ZERO_SHOT, {"labels": ["$7", "y"]})


def test_wrong_marks_are_named(checkpoint):
    with pytest.raises(
        ConfigError, match="Expected dollar to be text that is not empty, without .*, got 'a.'"
    ):
        spacy.blank("xx").add_pipe(ZERO_SHOT, config={"labels": ["a", "b"], "dollar": "a$"})


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.text("$[dolar-2]{", max_size=24), lambda x: st.lists(x) | st.dictionaries(st.text("$a"), x)
    )
)
def test_any_text_is_found_again(value):
    stored = stored_settings({"a": value, "b": ["[dollar]", 3, None]})
    assert "$" not in json.dumps(stored)
    assert plain_settings(stored, stored.pop("dollar", None)) == {"a": value, "b": ["[dollar]", 3, None]}
