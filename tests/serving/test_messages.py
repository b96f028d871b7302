"""Requests have one text or many, of whole characters."""

import pytest
from pydantic import ValidationError

from spacy_bloom.serving.messages import ProcessRequest


def test_one_or_many():
    assert ProcessRequest(text="").all_texts == [""]
    assert ProcessRequest(texts=["a", "b"]).all_texts == ["a", "b"]


@pytest.mark.parametrize(
    "wrong",
    [{}, {"text": "a", "texts": ["b"]}, {"texts": []}, {"text": "a", "parts": []}, {"text": "a", "more": 1}],
)
def test_other_requests(wrong):
    with pytest.raises(ValidationError):
        ProcessRequest(**wrong)


@pytest.mark.parametrize("field", ["text", "texts", "questions"])
def test_half_a_character(field):
    half = "\ud83d"
    given = (
        {"text": half}
        if field == "text"
        else {"text": "a", field: [half]}
        if field == "questions"
        else {field: [half]}
    )
    with pytest.raises(ValidationError):
        ProcessRequest(**given)
