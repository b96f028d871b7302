"""Scores are read from what trainings and evaluations write."""

import json

import pytest

from spacy_bloom import bundled_path
from spacy_bloom.cli.reporting.saved_scores import read_evaluation, read_performance
from spacy_bloom.errors import InputError


def test_scores_of_what_was_saved(tmp_path):
    assert read_performance(tmp_path) == {}
    for name, score in (("model-best", 0.5), ("model-last", 0.4)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "meta.json").write_text(json.dumps({"performance": {"ents_f": score}}))
    assert read_performance(tmp_path) == {"model-best": {"ents_f": 0.5}, "model-last": {"ents_f": 0.4}}
    assert list(read_performance(bundled_path("xx_bloom_tiny_demo"))) == ["xx_bloom_tiny_demo"]


def test_scores_by_language(tmp_path):
    path = tmp_path / "scores.json"
    path.write_text(json.dumps({"scores": {"ents": {"groups": {"ar": {"f_score": 0.5}}}}}))
    assert read_evaluation(path)["ents"]["groups"]["ar"] == {"f_score": 0.5}


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"scores": 3}', '{"scores": {"ents": {}}}'])
def test_other_files(tmp_path, text):
    (tmp_path / "scores.json").write_text(text)
    with pytest.raises(InputError, match=r"scores\.json"):
        read_evaluation(tmp_path / "scores.json")
