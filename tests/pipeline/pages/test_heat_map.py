import itertools
import math
import re

import numpy
import pytest
import spacy
from spacy.tokens import Doc, Token

from spacy_bloom.errors import InputError
from spacy_bloom.pipeline.pages.heat_map import SCALE, color_of, contrast, luminance, render_surprisal

NLP = spacy.blank("xx")


@pytest.fixture
def annotated():
    """A function that makes a Doc with given bits, token by token."""
    if not Token.has_extension("heat"):
        Token.set_extension("heat", default=None)

    def make(words, bits, spaces=None):
        doc = Doc(NLP.vocab, words=words, spaces=spaces)
        for token, value in zip(doc, bits, strict=True):
            token._.heat = value
        return doc

    return make


def visible(rendered):
    """The text of the first Doc, as it shows."""
    inner = re.search(r'<div class="doc"[^>]*>(.*?)</div>', rendered, re.DOTALL)[1]
    return re.sub(r"<[^>]*>", "", inner)


def backgrounds(rendered):
    inner = re.search(r'<div class="doc"[^>]*>(.*?)</div>', rendered, re.DOTALL)[1]
    return re.findall(r"background: (#\w{6})", inner)


def test_the_scale_is_light_to_dark_and_text_on_it_can_be_read():
    colors = [color_of(share) for share in numpy.linspace(0, 1, 257)]
    lightness = [luminance(background) for background, _ in colors]
    assert all(a >= b for a, b in itertools.pairwise(lightness))
    assert lightness[0] == 1.0 and lightness[-1] < 0.1
    # Even steps of perceived lightness (CIE L*): no jump where there is no difference in bits.
    perceived = [116 * y ** (1 / 3) - 16 for y in (luminance(color) for color in SCALE)]
    assert max(a - b for a, b in itertools.pairwise(perceived)) < 20
    assert min(contrast(text, background) for background, text in colors) >= 4.5
    assert color_of(-1.0) == color_of(0.0) and color_of(7.0) == color_of(1.0)


def test_contrast():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#777777") == 1


def test_more_bits_are_darker_and_show_as_a_title(annotated):
    doc = annotated(["The", "river", "flows"], [1.25, 8.0, 30.0])
    rendered = render_surprisal(doc, attr="heat", max_bits=20)
    assert re.findall(r'title="([^"]*)"', rendered) == ["1.25 bits", "8.00 bits", "30.00 bits"]
    assert backgrounds(rendered) == [color_of(share)[0] for share in (1.25 / 20, 8 / 20, 1.0)]
    assert visible(rendered) == doc.text


def test_text_is_escaped(annotated):
    doc = annotated(["<script>alert('1')</script>", "&", '"'], [1.0, 2.0, 3.0])
    rendered = render_surprisal(doc, attr="heat", headings=["<b>&"])
    assert "<script" not in rendered and "<b>&" not in rendered
    assert "&lt;script&gt;" in rendered and '<h2 dir="auto">&lt;b&gt;&amp;</h2>' in rendered
    assert rendered.count("<span") == rendered.count("</span>")


def test_each_doc_has_its_own_direction(annotated):
    docs = [annotated(["باريس", "جميلة"], [1.0, 2.0]), annotated(["Paris"], [1.0])]
    rendered = render_surprisal(docs, attr="heat")
    assert rendered.count('<div class="doc" dir="auto">') == 2
    assert "باريس</span> <span" in rendered  # the space has no background of either word


def test_a_legend_of_the_scale(annotated):
    doc = annotated(["a"] * 100, [10.0] * 95 + [1000.0] * 5)
    legend = re.search(r'<div class="legend">.*?</div>', render_surprisal(doc, attr="heat"))[0]
    labels = re.findall(r">([^<]+)</span>", legend)
    assert labels[0] == "0" and labels[-1] == "16+"  # the few that are far above do not wash out the others
    assert re.findall(r"background: (#\w+)", legend)[0] == SCALE[0]
    assert "7.5+" in render_surprisal(doc, attr="heat", max_bits=7.5)


def test_tokens_without_a_surprisal_and_lines(annotated):
    doc = annotated(["a", "\n", "b"], [math.nan, 2.0, 3.0], spaces=[False] * 3)
    rendered = render_surprisal(doc, attr="heat")
    assert '<span class="none" title="no surprisal: nothing stands before it">a</span>' in rendered
    assert '<span class="line" style=' in rendered
    assert len(backgrounds(rendered)) == 2 and visible(rendered) == "a\nb"


def test_pages_and_parts(annotated):
    docs = [annotated(["a"], [1.0]), annotated([], [])]
    part, page = render_surprisal(docs, attr="heat"), render_surprisal(docs, True, attr="heat")
    assert page.startswith("<!DOCTYPE html>") and part in page and '<meta charset="utf-8">' in page
    assert "<html" not in part
    assert '<div class="legend">' in render_surprisal([], attr="heat")


def test_what_cannot_be_shown(annotated):
    doc = annotated(["a"], [1.0])
    with pytest.raises(InputError, match="add bloom_surprisal"):
        render_surprisal(NLP.make_doc("b"), attr="heat")
    with pytest.raises(InputError, match="add bloom_surprisal"):
        render_surprisal(doc, attr="never_heard_of")
    with pytest.raises(InputError, match="2 for 1 Docs"):
        render_surprisal(doc, attr="heat", headings=["a", "b"])
    for wrong in (0, -1.0, math.inf, math.nan):
        with pytest.raises(InputError, match="above 0"):
            render_surprisal(doc, attr="heat", max_bits=wrong)


def test_after_the_component(checkpoint):
    nlp = spacy.blank("xx")
    nlp.add_pipe("bloom_surprisal", config={"model": {"name": checkpoint}})
    doc = nlp("The river was high")
    titles = re.findall(r'title="([^"]*)"', render_surprisal(doc))
    assert titles == [f"{token._.surprisal:.2f} bits" for token in doc]
