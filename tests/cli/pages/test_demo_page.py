"""The page shows texts as they are, marked, and each in its direction."""

import re

import pytest
import spacy
from spacy.tokens import Doc, Span

from spacy_bloom.cli.pages.demo_page import (
    Section,
    answers_card,
    best_category,
    category_card,
    continuation_card,
    entities_card,
    render_page,
)
from spacy_bloom.pipeline.answering.answers import Answer, set_answers
from spacy_bloom.pipeline.base.extensions import add_extension

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def nlp():
    return spacy.blank("xx")


def test_page_keeps_each_direction(nlp):
    docs = [nlp.make_doc("Anna sings"), nlp.make_doc("باريس جميلة")]
    docs[1].set_ents([Span(docs[1], 0, 1, "LOC")])
    page = render_page([Section("T", "t", [entities_card("One", doc) for doc in docs])])
    assert re.findall(r"direction: (\w+)", page) == ["ltr", "rtl"]
    assert page.count("<mark") == 1


def test_texts_are_escaped_everywhere(nlp):
    doc = nlp.make_doc(f"{HOSTILE} Anna")
    add_extension(Doc, "generated")
    doc._.generated = HOSTILE
    doc.cats = {HOSTILE: 1.0}
    set_answers(doc, {HOSTILE: [Answer(0, 2), Answer(1, 3)]})
    cards = [make(HOSTILE, doc) for make in (entities_card, category_card, answers_card, continuation_card)]
    page = render_page([Section(HOSTILE, HOSTILE, cards)])
    assert "<script>" not in page
    assert page.count("&lt;script&gt;") >= 10
    assert page.count("<mark") == 1  # answers that overlap are marked once


def test_the_most_probable_category(nlp):
    doc = nlp.make_doc("Anna")
    assert best_category(doc) == "" and category_card("One", doc).topic == ""
    doc.cats = {"sports": 0.25, "travel": 0.754}
    assert best_category(doc) == "travel 75%"
    page = render_page([Section("T", "t", [category_card("One", doc)])])
    assert '<span class="topic">travel 75%</span>' in page
