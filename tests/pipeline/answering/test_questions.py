import pytest
import spacy

from spacy_bloom.errors import InputError
from spacy_bloom.pipeline.answering.answers import Answer, install_extensions, set_answers
from spacy_bloom.pipeline.answering.questions import gold_questions, is_answerable, questions_of

install_extensions()
NLP = spacy.blank("xx")


@pytest.mark.parametrize("own, expected", [(None, ["why?"]), ([], []), (["a?", "b?", "a?"], ["a?", "b?"])])
def test_own_questions_take_precedence(own, expected):
    doc = NLP("text")
    doc._.questions = own
    assert questions_of(doc, ["why?"]) == expected


@pytest.mark.parametrize("own", ["why?", [3], {"why?": 1}])
def test_questions_that_are_not_texts(own):
    doc = NLP("text")
    doc._.questions = own
    with pytest.raises(InputError, match="doc._.questions"):
        questions_of(doc, [])


@pytest.mark.parametrize(
    "text, question, expected",
    [
        ("text", "why?", True),
        ("", "why?", False),
        (" \n", "why?", False),
        ("text", "", False),
        ("text", " \t", False),
    ],
)
def test_what_can_be_answered(text, question, expected):
    doc = NLP(text)
    assert is_answerable(doc, question) is expected
    set_answers(doc, {question: []}, key="gold")
    assert gold_questions([doc], key="gold") == ([((doc, question), [])] if expected else [])
    assert gold_questions([doc], key="answers") == []


def test_gold_answers():
    doc = NLP("Ana was born")
    set_answers(doc, {"who?": [Answer(0, 1), Answer(0, 2)]})
    ((asked, spans),) = gold_questions([doc], key="answers")
    assert asked == (doc, "who?") and [span.text for span in spans] == ["Ana", "Ana was"]
