"""Spans of characters become spans of tokens, and what is changed or lost is counted."""

from collections import Counter

from spacy_bloom.corpora.entities import set_entities, set_spans


def test_entities_on_tokens(nlp):
    doc, counts = nlp.make_doc("他在北京见l'ONU。"), Counter()
    set_entities(doc, [(2, 4, "LOC"), (7, 10, "ORG")], counts)
    assert [(ent.text, ent.label_) for ent in doc.ents] == [("北京", "LOC"), ("ONU", "ORG")]
    assert all(token.ent_iob for token in doc)  # outside, not missing
    assert counts == {"exact": 2}


def test_entities_inside_tokens_are_expanded_and_counted(nlp):
    doc, counts = nlp.make_doc("covid2 and covid19"), Counter()
    set_entities(doc, [(5, 6, "NUM"), (11, 18, "X"), (16, 18, "NUM")], counts)
    assert [(ent.text, ent.label_) for ent in doc.ents] == [("covid2", "NUM"), ("covid19", "X")]
    assert counts == {"exact": 1, "expanded": 1, "dropped": 1}


def test_spans_may_overlap_and_stand_once(nlp):
    doc, counts = nlp.make_doc("Bank of Lima "), Counter()
    set_spans(
        doc, [(0, 12, "ORG"), (8, 12, "LOC"), (8, 12, "LOC"), (9, 12, "LOC"), (12, 13, "X")], "sc", counts
    )
    assert [(span.text, span.label_) for span in doc.spans["sc"]] == [
        ("Bank of Lima", "ORG"),
        ("Lima", "LOC"),
    ]
    assert counts == {"exact": 2, "dropped": 3} and not doc.ents
