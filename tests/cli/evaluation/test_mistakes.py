"""What is confused with what, and what is shown of it."""

import spacy
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_bloom.cli.evaluation.mistakes import NONE, Confusion, compare
from spacy_bloom.pipeline.answering.answers import Answer, set_answers

NLP = spacy.blank("xx")


def pair(text, gold=(), predicted=(), key=None):
    docs = [NLP.make_doc(text), NLP.make_doc(text)]
    for doc, spans in zip(docs, (gold, predicted), strict=True):
        found = [Span(doc, *span) for span in spans]
        if key is None:
            doc.set_ents(found)
        else:
            doc.spans[key] = found
    return Example(docs[1], docs[0])


def test_entities():
    gold = [(0, 1, "PER"), (2, 4, "ORG"), (5, 6, "LOC")]
    predicted = [(0, 1, "PER"), (2, 3, "LOC"), (3, 4, "PER"), (4, 6, "LOC")]
    confusion = Confusion()
    mistake = compare("ents", pair("Ana met Bank of in Rio", gold, predicted), confusion)
    # Of the two that overlap with Bank of, the first is its rival; a wrong border is a miss and an invention.
    assert confusion.counts == {
        ("PER", "PER"): 1, ("ORG", "LOC"): 1, ("LOC", NONE): 1, (NONE, "PER"): 1, (NONE, "LOC"): 1
    }  # fmt: skip
    assert [(mark.label, mark.is_right) for mark in mistake.gold.marks] == [
        ("PER", True), ("ORG", False), ("LOC", False)
    ]  # fmt: skip
    assert [mark.is_right for mark in mistake.predicted.marks] == [True, False, False, False]
    rows = confusion.label_rows()
    assert rows["PER"] == {
        "gold": 1,
        "predicted": 2,
        "right": 1,
        "precision": 0.5,
        "recall": 1.0,
        "f_score": 2 / 3,
    }
    assert confusion.labels == ["LOC", "ORG", "PER", NONE] and NONE not in rows
    assert confusion.to_json()["ORG"] == {"LOC": 1}


def test_what_is_right_is_no_mistake():
    confusion = Confusion()
    assert compare("ents", pair("Ana", [(0, 1, "PER")], [(0, 1, "PER")]), confusion) is None
    assert (
        compare("ents", Example(NLP.make_doc("Ana"), NLP.make_doc("Ana")), confusion) is None
    )  # not annotated
    assert compare("bits", pair("Ana"), confusion) is None and confusion.counts == {("PER", "PER"): 1}


def test_spans_that_overlap():
    confusion = Confusion()
    spans = [(0, 3, "ORG"), (2, 3, "LOC")]
    assert compare("spans.sc", pair("Bank of Lima", spans, spans, "sc"), confusion) is None
    assert compare("spans.sc", pair("Bank of Lima", spans, spans[:1], "sc"), confusion) is not None
    assert confusion.counts == {("ORG", "ORG"): 2, ("LOC", "LOC"): 1, ("LOC", NONE): 1}


def test_categories():
    confusion, example = Confusion(), pair("a")
    assert compare("cats", example, confusion) is None
    example.reference.cats, example.predicted.cats = {"x": 1.0, "y": 0.0}, {"x": 0.2, "y": 0.8}
    mistake = compare("cats", example, confusion)
    assert (mistake.gold.note, mistake.predicted.note) == ("x", "y 80%")
    example.predicted.cats = {"x": 0.9, "y": 0.1}
    assert compare("cats", example, confusion) is None and confusion.counts == {("x", "y"): 1, ("x", "x"): 1}


def test_parts_of_speech_of_tokens_that_agree():
    gold = Doc(NLP.vocab, ["New York", "sleeps", "."], pos=["PROPN", "VERB", "PUNCT"])
    predicted = Doc(NLP.vocab, ["New", "York", "sleeps", "."], pos=["ADJ", "PROPN", "NOUN", "PUNCT"])
    confusion = Confusion()
    mistake = compare("syntax", Example(predicted, gold), confusion)
    assert confusion.counts["VERB", "NOUN"] == 1 and confusion.counts["PUNCT", "PUNCT"] == 1
    [(one, two)] = [
        (a, b) for a, b in zip(mistake.gold.marks, mistake.predicted.marks, strict=True) if a.label == "VERB"
    ]
    assert (one.start, two.start, two.label, mistake.heading) == (1, 2, "NOUN", "POS")


def test_answers():
    confusion, example = Confusion(), pair("Ana lives in Lima")
    set_answers(example.reference, {"Where?": [Answer(3, 4)]})
    set_answers(example.predicted, {"Where?": []})
    mistake = compare("qa", example, confusion)
    assert mistake.heading == "Where?" and mistake.predicted.note == "no answer"
    assert [(mark.start, mark.end) for mark in mistake.gold.marks] == [(3, 4)]
    set_answers(example.predicted, {"Where?": [Answer(3, 4, 1.0)]})
    assert compare("qa", example, confusion) is None
