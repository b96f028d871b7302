"""Spans are marked in texts that stay as they are, each in its direction."""

import html
import re

import numpy
import pytest
import spacy
from spacy.tokens import Span, SpanGroup

from spacy_bloom.errors import InputError
from spacy_bloom.pipeline.answering.answers import Answer, install_extensions, set_answers
from spacy_bloom.pipeline.pages.heat_map import contrast
from spacy_bloom.pipeline.pages.marks import (
    COLORS,
    OTHER_COLORS,
    Mark,
    color_of_label,
    mark_text,
    render_answers,
    render_spans,
)

HOSTILE = "<script>alert('1')</script>"


@pytest.fixture
def nlp():
    return spacy.blank("xx")


def text_of(marked):
    return html.unescape(re.sub(r"<small.*?</small>|<[^>]*>", "", marked, flags=re.DOTALL)).rstrip("\n")


@pytest.mark.parametrize("text", ["Ana met Bo", "محمد في دمشق", f" {HOSTILE} \n  x", "🙂 Ana", ""])
def test_the_text_is_whole(text):
    marks = [Mark(0, min(2, len(text)), "PER", "97%"), Mark(1, 3, "LOC"), Mark(4, len(text), HOSTILE)]
    marked = mark_text(text, [mark for mark in marks if mark.start < mark.end <= len(text)])
    assert text_of(marked) == text and "<script" not in marked
    assert ('dir="rtl"' in marked) == text.startswith("محمد")


def test_of_marks_that_overlap_the_first_and_longest_stays():
    marked = mark_text(
        "abcdef", [Mark(1, 2, "A"), Mark(0, 3, "B"), Mark(2, 6, "C"), Mark(3, 4, "D")], lang="en"
    )
    assert re.findall(r"<small><bdi[^>]*>(\w)", marked) == ["B", "D"] and 'lang="en"' in marked


def test_a_mark_has_its_label_s_color_or_its_own():
    marked = mark_text("ab", [Mark(0, 1, "PER"), Mark(1, 2, "PER", color="#ffc9c9")])
    assert re.findall(r"background: (#\w+)", marked) == [COLORS["PER"], "#ffc9c9"]


def test_entities_and_scored_spans(nlp):
    doc = nlp.make_doc("Ana met Bo")
    doc.set_ents([Span(doc, 0, 1, "PER")])
    spans = [Span(doc, 0, 1, "X"), Span(doc, 2, 3, "Y")]
    doc.spans["sc"] = SpanGroup(doc, spans=spans, attrs={"scores": numpy.array([0.5, numpy.nan])})
    assert "PER</bdi>" in render_spans(doc) and render_spans([doc, doc]).count("<mark") == 2
    assert "X 50%</bdi>" in render_spans(doc, "sc") and "Y</bdi>" in render_spans(doc, "sc")
    assert "X</bdi>" in render_spans(doc, "sc", scores=False)
    assert "<mark" not in render_spans(doc, "other")
    page = render_spans(doc, page=True, headings=[HOSTILE])
    assert page.startswith("<!DOCTYPE html>") and "<script" not in page


def test_answers(nlp):
    install_extensions()
    doc = nlp.make_doc("Ana met Bo")
    set_answers(doc, {"Who?": [Answer(0, 1, 1.26), Answer(2, 3, 0.5)], "When?": []})
    shown = render_answers(doc)
    assert shown.count("<mark") == 1 and "ANSWER +1.3" in shown
    assert shown.index("Who?") < shown.index("<mark") < shown.index("When?")


def test_headings_are_as_many_as_docs(nlp):
    with pytest.raises(InputError, match="one heading per Doc"):
        render_spans([nlp("a"), nlp("b")], headings=["one"])


def test_labels_can_be_read():
    for color in (*COLORS.values(), *OTHER_COLORS):
        assert contrast("#1a1a1a", color) > 7
    assert color_of_label("anything") == color_of_label("anything")
