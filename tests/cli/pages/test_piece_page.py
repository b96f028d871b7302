"""The page shows a text whole and as it is, in its direction, with every piece, token and window."""

import html
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_bloom.cli.pages.piece_page import render_pieces
from spacy_bloom.cli.pieces.counts import PieceCounter
from spacy_bloom.thinc_layers.pieces.windows import WindowSettings

HOSTILE = "<script>alert(\"1\")</script> & 'x'"


def shown_texts(page):
    """The texts of the cards, put together from their segments."""
    bodies = re.findall(r'<div class="text" dir="\w+">(.*?)</div>', page, flags=re.DOTALL)
    segments = [re.findall(r"<span [^>]*>([^<]*)</span>", body) for body in bodies]
    return [html.unescape("".join(parts)) for parts in segments]


SNIPPETS = ["Ana ", "工作张", "قطار ", "🙂", "\n", HOSTILE]


@settings(max_examples=60, deadline=None)
@given(text=st.lists(st.sampled_from(SNIPPETS) | st.text(max_size=4)).map("".join))
def test_the_text_is_whole(cut, text):
    found = cut(text, window=7, context=2)
    page = render_pieces("about", {"Text 1": [found]})
    assert shown_texts(page) == [text]
    assert "<script" not in page
    assert page.count("<i>window ") == len({found.text_of(w.keep)[0] for w in found.windows if w.keep})
    bars = page.count("<b style=")
    assert bars == (len(found.windows) if len(found.windows) > 1 else 0)


def classes(page):
    return {
        html.unescape(text): names.split()
        for names, text in re.findall(r'<span class="([^"]*)" title="[^"]*">([^<]*)</span>', page)
    }


def test_colours_and_frames(cut):
    found = classes(render_pieces("about", {"Text 1": [cut("工作 张\n")]}))
    assert found["工"] == ["a", "t", "l", "r"] and found["作"] == [
        "a",
        "t",
        "l",
        "r",
    ]  # one piece, two tokens
    assert found["张"] == ["bytes", "t", "l", "r"]
    assert "t" not in found[" "] and "line" in found["\n"]


def test_directions(cut):
    page = render_pieces("about", {"Text 1": [cut("القاهرة 19")], "Text 2": [cut("biblioteca")]})
    assert re.findall(r'class="text" dir="(\w+)"', page) == ["rtl", "ltr"]
    arabic, latin = (
        re.findall(r'<span class="([^"]*)" title="[^"]*token 0', card) for card in page.split("<section")[1:]
    )
    assert len(arabic) > 1 and arabic[0].endswith(" t r") and arabic[-1].endswith(" t l")
    assert len(latin) > 1 and latin[0].endswith(" t l") and latin[-1].endswith(" t r")


def test_counts_and_warnings(cut, multilingual, tiny_bloom):
    counter = PieceCounter(multilingual, tiny_bloom, WindowSettings(512, 128))
    counter.count([(HOSTILE, "a b"), ("empty", "")])
    samples = {HOSTILE: [cut("a b"), cut("c")]}
    page = render_pieces(HOSTILE, samples, counts=counter.groups, warnings=[HOSTILE])
    assert "<script" not in page and page.count("&lt;script&gt;") == 5
    assert "text 2</h2>" in page
    row = re.search(r"<tr><td>empty</td>(.*?)</tr>", page)[1]
    assert re.findall(r"<td>([^<]*)</td>", row) == ["1", "0", "0", "-", "-", "-", "0", "0", "0"]
