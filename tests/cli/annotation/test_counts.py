"""Labels, overlaps, tokens and windows are counted."""

import spacy
from spacy.tokens import Span

from spacy_bloom.cli.annotation.counts import count_docs
from spacy_bloom.pipeline.answering.answers import Answer, set_answers
from spacy_bloom.thinc_layers.pieces.windows import WindowSettings

WIDE = WindowSettings(512, 128)


def test_labels_of_everything(multilingual, tiny_bloom):
    doc = multilingual.make_doc("Ana met Bo")
    doc.set_ents([Span(doc, 0, 1, "PER"), Span(doc, 2, 3, "PER")])
    doc.cats = {"news": 1.0, "art": 0.0}
    for token in doc:
        token.pos_ = "VERB" if token.text == "met" else "PROPN"
    set_answers(doc, {"Who?": [Answer(0, 1)], "Why?": []})
    counts = count_docs([doc, doc, multilingual.make_doc(" ")], multilingual, tiny_bloom, WIDE)
    assert (counts.docs, counts.blank, counts.repeated) == (3, 1, 1)
    assert counts.labels == {
        "ents": {"PER": 4}, "cats": {"news": 2, "art": 0}, "pos": {"PROPN": 4, "VERB": 2}, "answers": {"answer": 2}
    }  # fmt: skip
    assert counts.to_json()["spans"] == {"ents": 4, "answers": 2} and not any(counts.cut.values())


def test_spans_that_overlap(multilingual, tiny_bloom):
    doc = multilingual.make_doc("Bank of Lima in Peru")
    doc.spans["sc"] = [Span(doc, 0, 3, "ORG"), Span(doc, 2, 3, "LOC"), Span(doc, 4, 5, "LOC")]
    counts = count_docs([doc], multilingual, tiny_bloom, WIDE)
    assert counts.spans["spans.sc"] == 3 and counts.overlapping["spans.sc"] == 2


def test_spans_inside_a_token_of_the_pipeline(multilingual, tiny_bloom):
    doc = spacy.tokens.Doc(multilingual.vocab, ["covid", "19", "was"], [False, True, False])
    doc.set_ents([Span(doc, 0, 1, "X"), Span(doc, 2, 3, "Y")])
    counts = count_docs([doc], multilingual, tiny_bloom, WIDE)
    assert counts.misaligned["ents"] == 1 and counts.examples["ents"] == ["'covid' in 'covid19'"]


def test_spans_between_two_windows(multilingual, tiny_bloom, cut):
    text = "one two three four five six seven"
    doc = multilingual.make_doc(text)
    narrow = WindowSettings(4, 1)
    windows = cut(doc, 4, 1)
    border = int(windows.pieces.offsets[windows.windows[1].keep, 0])
    across = doc.char_span(border - 1, border + 2, label="X", alignment_mode="expand")
    assert across.start_char < border < across.end_char
    assert across.start > 0
    doc.set_ents([Span(doc, 0, 1, "X"), across])
    counts = count_docs([doc], multilingual, tiny_bloom, narrow)
    assert (counts.spans["ents"], counts.cut["ents"]) == (2, 1)
    assert count_docs([doc], multilingual, tiny_bloom, WIDE).cut["ents"] == 0
