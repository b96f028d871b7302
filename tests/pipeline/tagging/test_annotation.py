import numpy
import pytest
import spacy
from spacy.tokens import Span, Token

from spacy_bloom.pipeline.base.extensions import add_extension
from spacy_bloom.pipeline.tagging.annotation import (
    span_scores,
    write_attr,
    write_ents,
    write_probabilities,
    write_spans,
)

TEXT = "Ana lives in Lima today"


@pytest.fixture
def doc():
    doc = spacy.blank("xx")(TEXT)
    doc.ents = [
        Span(doc, 0, 1, "OLD", kb_id="Q1", span_id="one"),
        Span(doc, 3, 5, "OLD", kb_id="Q2", span_id="two"),
    ]
    return doc


def ents(doc):
    return [(e.start, e.end, e.label_, e.kb_id_, e.id_) for e in doc.ents]


@pytest.mark.parametrize(
    "found",
    [
        [(0, 1, "NEW")],  # the same place
        [(0, 2, "NEW"), (4, 5, "NEW")],  # wider, and narrower
        [(1, 3, "NEW")],  # elsewhere
        [],
    ],
)
def test_entities_are_replaced_whole(doc, found):
    """With the ids of tokens that are outside now."""
    write_ents(doc, found, overwrite=True)
    assert ents(doc) == [(*place, "", "") for place in found]
    assert {(token.ent_kb_id_, token.ent_id_) for token in doc} == {("", "")}


@pytest.mark.parametrize(
    "found, added",
    [([(1, 3, "NEW")], [(1, 3, "NEW", "", "")]), ([(0, 2, "NEW"), (4, 5, "NEW")], []), ([], [])],
)
def test_entities_that_were_there_stay(doc, found, added):
    before = ents(doc)
    write_ents(doc, found, overwrite=False)
    assert ents(doc) == sorted([*before, *added])


def test_blocked_tokens_stay_blocked():
    doc = spacy.blank("xx")(TEXT)
    doc.set_ents([], blocked=[doc[0:1]])
    write_ents(doc, [(0, 2, "NEW"), (3, 4, "NEW")], overwrite=False)
    assert ents(doc) == [(3, 4, "NEW", "", "")] and doc[0].ent_iob_ == "B"


@pytest.mark.parametrize("overwrite, expected", [(True, [(1, 3), (3, 4)]), (False, [(1, 3)])])
def test_what_was_written_is_returned(doc, overwrite, expected):
    written = write_ents(doc, [(1, 3, "NEW"), (3, 4, "NEW")], overwrite=overwrite)
    assert [(e.start, e.end) for e in written] == expected
    assert [e for e in doc.ents if e.label_ == "NEW"] == written


def test_a_span_is_as_probable_as_its_least_certain_tag():
    scores = numpy.array([0.8, 0.6, 0.9, 0.7])
    assert span_scores([(0, 2), (3, 4)], scores).tolist() == [0.6, 0.7]
    assert span_scores([], scores).shape == (0,)


@pytest.mark.parametrize("overwrite, n_kept", [(True, 0), (False, 1)])
def test_spans_have_scores(doc, overwrite, n_kept):
    doc.spans["x"] = [Span(doc, 0, 2, "OLD")]
    scores = numpy.array([0.5, 0.5, 0.8, 0.7, 1.0], dtype="float32")
    write_spans(doc, [(2, 4, "NEW"), (4, 5, "NEW")], scores, key="x", overwrite=overwrite)
    group = doc.spans["x"]
    assert [span.label_ for span in group] == ["OLD"] * n_kept + ["NEW"] * 2
    assert numpy.isnan(group.attrs["scores"][:n_kept]).all()
    assert group.attrs["scores"][n_kept:].tolist() == pytest.approx([0.7, 1.0])


@pytest.mark.parametrize(
    "attr, labels", [("tag", ["A", "B", "C", "D", "E"]), ("pos", ["X", "NOUN", "VERB", "X", "ADV"])]
)
@pytest.mark.parametrize("overwrite", [True, False])
def test_attributes(doc, attr, labels, overwrite):
    setattr(doc[0], f"{attr}_", "ADP")
    write_attr(doc, labels, attr=attr, overwrite=overwrite)
    expected = labels if overwrite else ["ADP", *labels[1:]]
    assert [getattr(token, f"{attr}_") for token in doc] == expected


def test_probabilities(doc):
    add_extension(Token, "probabilities_of_tags")
    write_probabilities(doc, numpy.eye(5, 2), attr="probabilities_of_tags", tags=["O", "X"])
    assert [token._.probabilities_of_tags["X"] for token in doc] == [0.0, 1.0, 0.0, 0.0, 0.0]
