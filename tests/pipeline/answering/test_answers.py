import math

import pytest
import spacy
import srsly
from spacy.tokens import Doc, DocBin, Span
from spacy.vocab import Vocab

from spacy_bloom.pipeline.answering.answers import Answer, get_answers, install_extensions, set_answers

install_extensions()
NLP = spacy.blank("xx")
ASKED = {
    "Who was born?": [Answer(0, 1, 5.25), Answer(0, 2, -2.125e-5)],
    "where\n in 2 words?": [Answer(2, 3, 1234.5678)],
    "Q7 为什么 ": [Answer(0, 1, math.nan)],
    "never answered": [],
}


def answered(text="Ana was born", questions=ASKED):
    doc = NLP(text)
    set_answers(doc, questions)
    return doc


def told(doc, key="answers"):
    return [(s.text, s._.question, s._.answer_score) for s in doc.spans[key]]


def rounded(rows):
    return [(text, question, pytest.approx(score, rel=1e-3, nan_ok=True)) for text, question, score in rows]


def merged(doc):
    return Doc.from_docs([doc])


def through_json(doc):
    return Doc(Vocab()).from_json(srsly.json_loads(srsly.json_dumps(doc.to_json())))


def through_a_doc_bin(doc):
    return next(DocBin().from_bytes(DocBin(docs=[doc]).to_bytes()).get_docs(Vocab()))


def through_bytes(doc):
    return Doc(Vocab()).from_bytes(doc.to_bytes())


WAYS = [merged, through_json, through_a_doc_bin, through_bytes, Doc.copy]


@pytest.mark.parametrize("first", WAYS)
@pytest.mark.parametrize("second", WAYS)
def test_answers_keep_question_and_score(first, second):
    doc = answered()
    found = second(first(doc))
    assert told(found) == rounded(told(doc))
    expected = {question: [doc[a.start : a.end].text for a in answers] for question, answers in ASKED.items()}
    kept = {question: [span.text for span in spans] for question, spans in get_answers(found).items()}
    assert {q: texts for q, texts in kept.items() if texts} == {
        q: texts for q, texts in expected.items() if texts
    }


def test_docs_with_different_questions_become_one():
    docs = [
        answered("Ana was born", {"who?": [Answer(0, 1, 1.0)]}),
        answered("in Lima", {"where?": [Answer(1, 2, 2.0)]}),
    ]
    found = Doc.from_docs(docs)
    assert told(found) == [("Ana", "who?", 1.0), ("Lima", "where?", 2.0)]
    assert list(get_answers(found)) == ["who?", "where?"]


def test_groups_written_without_notes_are_read():
    """As they were written by 0.1.0."""
    doc = answered()
    group = doc.spans["answers"]
    attrs, plain = dict(group.attrs), [Span(doc, s.start, s.end, s.label_, span_id="answers") for s in group]
    doc.spans["answers"] = plain
    doc.spans["answers"].attrs.update(attrs)
    assert told(doc) == [(t, q, pytest.approx(s, nan_ok=True)) for t, q, s in told(answered())]
    assert list(get_answers(doc)) == list(ASKED)


@pytest.mark.parametrize("kb_id", ["", "Q42", "Q42 is a number", "1.5", "one two"])
@pytest.mark.parametrize("label", ["Q1", "PER"])
def test_spans_that_are_not_answers(label, kb_id):
    doc = NLP("Ana was born")
    doc.spans["answers"] = [Span(doc, 0, 1, label, kb_id=kb_id)]
    assert told(doc) == [("Ana", None, None)] and get_answers(doc) == {}


def test_equal_answers_of_two_components():
    """Each group has its own questions and scores, also after a way through bytes."""
    doc = spacy.blank("en")("Ana was born")
    set_answers(doc, {"Who was born?": [Answer(0, 1, 5.0)]}, key="who")
    set_answers(doc, {"Who is first?": [Answer(0, 1, -2.0)]}, key="first")
    for found in (doc, Doc(doc.vocab).from_bytes(doc.to_bytes())):
        ((who,), (first,)) = found.spans["who"], found.spans["first"]
        assert (who._.question, who._.answer_score) == ("Who was born?", 5.0)
        assert (first._.question, first._.answer_score) == ("Who is first?", -2.0)
