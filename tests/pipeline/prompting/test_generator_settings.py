import re

import pytest

from spacy_bloom.errors import ConfigError
from spacy_bloom.generation.config import GenerationConfig
from spacy_bloom.pipeline.prompting.generator_settings import (
    ChoiceSettings,
    GeneratorSettings,
    JsonSettings,
    RegexSettings,
    SpansSettings,
    check_sizes,
    check_together,
    make_constraint_settings,
    refuse_options,
    with_one_seed,
)


def test_constraints_by_type_with_defaults():
    assert make_constraint_settings(None) is None
    assert make_constraint_settings({"type": "choice", "labels": ["a"]}) == ChoiceSettings(labels=["a"])
    spans = make_constraint_settings({"type": "spans", "label": "X", "leading_space": False})
    assert spans == SpansSettings(label="X", target="ents", occurrences="all", leading_space=False)
    assert make_constraint_settings({"type": "json", "schema": {}}) == JsonSettings(
        schema={}, whitespace=False
    )
    assert make_constraint_settings({"type": "regex", "pattern": "a"}) == RegexSettings(pattern="a")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("choice", "to have a type, one of choice, spans, json, regex; got 'choice'"),
        ({"labels": ["a"]}, "to have a type"),
        ({"type": "choice", "labels": "ab"}, "'choice': expected labels to be a list of different texts"),
        (
            {"type": "choice", "label": "a"},
            "there is no setting 'label'; the settings are leading_space, labels",
        ),
        ({"type": "choice"}, "missing: labels"),
        ({"type": "regex", "pattern": ""}, "expected pattern to be text that is not empty, got ''"),
        ({"type": "json", "schema": {}, "whitespace": 1}, "expected whitespace to be true or false, got 1"),
        ({"type": "spans", "label": "X", "target": "spans"}, "got None with 'spans'"),
        ({"type": "spans", "label": "X", "spans_key": "k"}, "got 'k' with 'ents'"),
    ],
)
def test_wrong_constraints_are_named(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        make_constraint_settings(settings)


def test_options_join_the_section_and_the_components_settings():
    settings = GeneratorSettings(
        generation={"do_sample": True, "top_k": 5}, max_new_tokens=7, max_seconds=None, seed=3
    )
    assert settings.options() == GenerationConfig(do_sample=True, top_k=5, max_new_tokens=7, seed=3)
    with pytest.raises(
        ConfigError, match=r"Got seed=5 among the options of generation\. Set seed of the component"
    ):
        GeneratorSettings(generation={"seed": 5}).options()
    with pytest.raises(ConfigError, match="max_new_tokens to be an integer of 1 or more, got None"):
        GeneratorSettings(max_new_tokens=None)


def test_refused_options_and_several_seeds():
    refuse_options({"top_k": 3, "seed": None}, {"seed": "Leave it out"})
    with pytest.raises(ConfigError, match=r"Got seed=0 among the options of generation\. Leave it out\."):
        refuse_options({"seed": 0}, {"seed": "Leave it out"})
    assert with_one_seed(GenerationConfig(seed=4)).seed == 4
    with pytest.raises(ConfigError, match=r"one integer or None, got \(1, 2\)"):
        with_one_seed(GenerationConfig(seed=[1, 2]))


def test_sizes_units_and_what_does_not_go_together():
    check_sizes(a=1, b=None)
    assert GeneratorSettings(per="span", spans_key="k").spans_key == "k"
    for wrong, message in [
        (lambda: check_sizes(a=1, b=0), "Expected b to be an integer of 1 or more, got 0"),
        (
            lambda: GeneratorSettings(per="token"),
            "expected per to be one of 'doc', 'sent', 'span', got 'token'",
        ),
        (lambda: GeneratorSettings(per="sent", spans_key="k"), "got 'k' with per = 'sent'"),
        (lambda: check_together(ChoiceSettings(labels=["a"]), GenerationConfig(), "sent"), "got 'sent'"),
    ]:
        with pytest.raises(ConfigError, match=re.escape(message)):
            wrong()
    several = GenerationConfig(do_sample=True, num_return_sequences=2)
    check_together(RegexSettings(pattern="a"), several, "sent")
    with pytest.raises(ConfigError, match="num_return_sequences = 1"):
        check_together(SpansSettings(label="X"), several, "doc")
