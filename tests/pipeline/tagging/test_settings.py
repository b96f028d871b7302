import pytest

from spacy_bloom.errors import ConfigError
from spacy_bloom.pipeline.tagging.settings import TokenClassifierSettings


@pytest.mark.parametrize(
    "settings, score",
    [
        ({}, "ents_f"),
        ({"target": "spans"}, "spans_sc_f"),
        ({"target": "spans", "spans_key": "ents"}, "spans_ents_f"),
        ({"target": "tag", "spans_key": "x"}, "tag_acc"),
        ({"target": "pos"}, "pos_acc"),
    ],
)
def test_the_score_that_counts(settings, score):
    assert TokenClassifierSettings(**settings).score == score


@pytest.mark.parametrize(
    "settings", [{"target": "ner"}, {"target": None}, {"overwrite": 1}, {"spans_key": 3}]
)
def test_wrong_settings(settings):
    (name,) = settings
    with pytest.raises(ConfigError, match=f"bloom_token_classifier: expected {name} to be"):
        TokenClassifierSettings(**settings)


@pytest.mark.parametrize("target", ["tag", "pos"])
def test_a_bias_of_what_is_never_outside(target):
    assert TokenClassifierSettings(target=target, outside_bias=0).outside_bias == 0
    with pytest.raises(ConfigError, match="Expected no outside_bias"):
        TokenClassifierSettings(target=target, outside_bias=-1.0)


@pytest.mark.parametrize("bias", [1e39, float("nan"), "1"])
def test_a_bias_that_no_logit_has(bias):
    with pytest.raises(ConfigError, match="outside_bias to be a finite number"):
        TokenClassifierSettings(outside_bias=bias)
