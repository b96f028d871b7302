import inspect
import pickle
from dataclasses import dataclass

import pytest
import spacy
from spacy.language import Language
from spacy.pipeline import Pipe
from thinc.api import ConfigValidationError

from spacy_bloom.pipeline.base.component import FactoryName, component

from ...conftest import OLD_CONFECTION

NAME = "bloom_token_classifier"


@dataclass(frozen=True, kw_only=True)
class Settings:
    size: int = 3
    words: list[str] | None = None


@component(
    "test_component", Settings, {"other": "x"}, assigns=["doc.cats"], score_weights={"cats_score": 0.5}
)
class Component(Pipe):
    def __init__(self, nlp: Language, name: str, *, other: str, **settings: object) -> None:
        self.name, self.other, self.settings = name, other, Settings(**settings)

    def __call__(self, doc):
        return doc


def test_config_keys_are_the_fields_of_the_settings():
    nlp = spacy.blank("xx")
    pipe = nlp.add_pipe("test_component", config={"words": ["a"]})
    assert (pipe.other, pipe.settings) == ("x", Settings(words=["a"]))
    config = nlp.get_pipe_config("test_component")
    assert dict(config) == {"factory": "test_component", "other": "x", "size": 3, "words": ["a"]}
    factory = spacy.registry.factories.get("test_component")
    assert list(inspect.signature(factory).parameters)[:5] == ["nlp", "name", "other", "size", "words"]
    assert nlp.get_pipe_meta("test_component").default_score_weights == {"cats_score": 0.5}


@pytest.mark.parametrize(
    "config", [{"sizes": 4}, {"size": "many"}, {"words": "a"}, *([] if OLD_CONFECTION else [{"words": [1]}])]
)
def test_spacy_checks_configs_by_the_settings(config):
    with pytest.raises(ConfigValidationError):
        spacy.blank("xx").add_pipe("test_component", config=config)


def weights(nlp):
    return {name: weight for name, weight in nlp.config["training"]["score_weights"].items() if weight}


@pytest.mark.parametrize(
    "config, score, assigns",
    [
        ({}, "ents_f", "doc.ents"),
        ({"target": "tag"}, "tag_acc", "token.tag"),
        ({"target": "pos"}, "pos_acc", "token.pos"),
        ({"target": "spans"}, "spans_sc_f", "doc.spans"),
        ({"target": "spans", "spans_key": "x"}, "spans_x_f", "doc.spans"),
    ],
)
def test_default_scores_are_those_that_are_written(config, score, assigns):
    nlp = spacy.blank("xx")
    nlp.add_pipe(NAME, config=config)
    assert nlp.config["training"]["score_weights"] == {score: 1.0}
    assert nlp.analyze_pipes()["summary"][NAME]["assigns"][0] == assigns
    loaded = spacy.util.load_model_from_config(nlp.config)
    assert loaded.config["training"]["score_weights"] == {score: 1.0}


def test_each_component_of_a_pipeline_has_its_own():
    nlp = spacy.blank("xx")
    for target in ("ents", "tag"):
        nlp.add_pipe(NAME, name=target, config={"target": target})
    assert weights(nlp) == {"ents_f": 0.5, "tag_acc": 0.5}
    # Another pipeline changes nothing, and a sourced component keeps its own.
    other = spacy.blank("xx")
    other.add_pipe(NAME, name="pos", config={"target": "pos"})
    assert weights(nlp) == {"ents_f": 0.5, "tag_acc": 0.5} and weights(other) == {"pos_acc": 1.0}
    third = spacy.blank("xx")
    third.add_pipe("pos", source=other)
    assert weights(third) == {"pos_acc": 1.0}


def test_explicit_weights_are_not_diluted():
    nlp = spacy.blank("xx")
    nlp.add_pipe(NAME, config={"target": "spans", "spans_key": "x"})
    nlp.add_pipe("bloom_zero_shot", config={"labels": ["a", "b"]})
    config = nlp.config.copy()
    config["training"]["score_weights"] = {"spans_x_f": 1.0, "spans_x_p": 0.0}
    loaded = spacy.util.load_model_from_config(config)
    assert weights(loaded) == {"spans_x_f": 1.0}


def test_a_component_that_does_not_learn_takes_no_weight_away():
    nlp = spacy.blank("xx")
    nlp.add_pipe("bloom_text_classifier")
    nlp.add_pipe("bloom_zero_shot", config={"labels": ["a", "b"]})
    assert weights(nlp) == {"cats_score": 1.0}


def test_names_that_equal_two():
    name = FactoryName("ours", "ner")
    assert name == "ours" and name == "ner" and "ner" in [name] and name != "textcat"
    assert (name != "ner") is False
    assert {name: 1}["ours"] == 1 and str(name) == f"{name}" == "ours"
    assert pickle.loads(pickle.dumps(name)) == "ner"
    assert FactoryName("ours", "") != "" and FactoryName("ours") == "ours"
