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
    assert re.findall(r'<p class="marked" dir="(\w+)"', page) == ["ltr", "rtl"]
    assert page.count("<mark") == 1


def test_texts_are_escaped_everywhere(nlp):
    doc = nlp.make_doc(f"{HOSTILE} Anna")
    add_extension(Doc, "generated")
    doc._.generated = HOSTILE
    doc.cats = {HOSTILE: 1.0}
    set_answers(doc, {HOSTILE: [Answer(0, 2), Answer(1, 3)]})
    cards = [make(HOSTILE, doc) for make in (entities_card, category_card, answers_card, continuation_card)]
    page = render_page([Section(HOSTILE, HOSTILE, cards)])
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;") >= 10
    assert page.count("<mark") == 1  # answers that overlap are not both marked


def test_the_most_probable_category(nlp):
    doc = nlp.make_doc("Anna")
    assert best_category(doc) == "" and category_card("One", doc).topic == ""
    doc.cats = {"sports": 0.25, "travel": 0.754}
    assert best_category(doc) == "travel 75%"
    page = render_page([Section("T", "t", [category_card("One", doc)])])
    assert '<span class="topic">travel 75%</span>' in page


def test_scores_of_entities(nlp):
    doc = nlp.make_doc("Anna met Bo")
    doc.set_ents([Span(doc, 0, 1, "PER"), Span(doc, 2, 3, "PER")])
    page = render_page([Section("T", "t", [entities_card("One", doc, {0: 0.974})])])
    assert re.findall(r'<bdi dir="ltr">([^<]*)</bdi>', page) == ["PER 97%", "PER"]


@pytest.mark.parametrize(
    ("text", "shown"), [(" sang.", True), ("", False), (" .\n", False), ("\u3002", False)]
)
def test_a_continuation_without_words_is_not_shown_as_one(nlp, text, shown):
    doc = nlp.make_doc("Anna")
    add_extension(Doc, "generated")
    doc._.generated = text
    page = render_page([Section("T", "t", [continuation_card("One", doc)])])
    assert ('<span class="new">' in page) == shown
    assert ("The model ends the text here." in page) == (not shown)


def test_languages_have_their_own_names(nlp):
    cards = [entities_card(heading, nlp("x")) for heading in ("Urdu", "English", "Text 1")]
    page = render_page([Section("T", "t", cards, quality="60% F", code="print('<x>')")])
    assert '<bdi lang="ur" dir="rtl">\u0627\u0631\u062f\u0648</bdi>' in page and page.count("<bdi lang") == 1
    assert page.count('lang="en"') == 2 and 'lang=""' not in page  # the page's and a text's
    assert "t; 60% F" in page and "print(&#39;&lt;x&gt;&#39;)" in page
