import re

import pytest

from spacy_bloom.errors import BloomWarning, ConfigError, InputError
from spacy_bloom.pipeline.prompting.zero_shot_settings import ZeroShotSettings, checked_labels


def test_good_settings_pass_and_labels_become_a_list():
    assert ZeroShotSettings(labels=("a", "b")).labels == ["a", "b"]
    assert ZeroShotSettings().labels is None
    assert ZeroShotSettings(labels=["a"], multi_label=True).yes == " yes"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ["a"]}, "Expected two labels or more, got ['a']"),
        ({"labels": "ab"}, "labels to be a list"),
        ({"verbalizers": {"a": " "}}, "verbalizer of 'a'"),
        ({"yes": ""}, "Expected yes to be text that is not empty"),
        ({"yes": " no"}, "Expected yes and no to be different"),
        ({"threshold": 1.5}, "expected threshold to be a finite number at least 0 and at most 1, got 1.5"),
        ({"max_batch_items": 0}, "expected max_batch_items to be an integer of 1 or more, or null, got 0"),
        ({"prompt": "{{ doc.text }}", "multi_label": True}, "{{ label }}"),
        ({"prompt": "{{ label }}"}, "label"),
    ],
)
def test_wrong_settings_are_named(change, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        ZeroShotSettings(**{"labels": ["a", "b"], **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [({"verbalizers": {"c": "x"}}, r"verbalizers for \['c'\]"), ({"prompt": "Topic: "}, "ends in a space")],
)
def test_likely_mistakes_are_warned_of(change, message):
    with pytest.warns(BloomWarning, match=message):
        ZeroShotSettings(**{"labels": ["a", "b"], **change})


def test_labels_are_different_texts():
    assert checked_labels(("b", "a"), "here", InputError) == ["b", "a"]
    for wrong, message in [
        ([], "one label or more"),
        (["a", " "], "not empty"),
        (["a", "b", "a"], r"\['a'\] more"),
    ]:
        with pytest.raises(InputError, match=f"Expected here to .*{message}"):
            checked_labels(wrong, "here", InputError)
