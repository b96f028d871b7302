import pytest

from spacy_bloom.errors import ConfigError
from spacy_bloom.pipeline.answering.settings import QuestionAnswererSettings


def test_each_question_once():
    assert QuestionAnswererSettings(questions=("a?", "b?", "a?")).questions == ["a?", "b?"]
    assert QuestionAnswererSettings().questions == []


@pytest.mark.parametrize(
    "settings",
    [
        {"questions": "why?"},
        {"questions": [1]},
        {"n_best": 0},
        {"max_answer_tokens": 1.5},
        {"max_batch_items": True},
    ],
)
def test_wrong_settings(settings):
    (name,) = settings
    with pytest.raises(ConfigError, match=f"bloom_question_answerer: expected {name} to be"):
        QuestionAnswererSettings(**settings)
