"""The page of the demo: Docs as people would rather look at them than read about them."""

import html
from typing import Any, Dict, List, Sequence

from spacy import displacy
from spacy.tokens import Doc

from ...pipeline.answering.answers import get_answers
from ...pipeline.pages.heat_map import render_surprisal
from .card_page import card_page, direction

COLORS = {"PER": "#ffd8a8", "LOC": "#b2f2bb", "ORG": "#a5d8ff", "ANSWER": "#fff3bf"}
STYLE = """
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(21rem, 1fr)); gap: 0.7rem }
.surprisal { background: #fff; border: 1px solid #e3e3df; border-radius: 8px; padding: 0.6rem 0.9rem }
.card p { margin: 0.4rem 0; line-height: 1.6 }
.entities { line-height: 1.9 !important; margin-top: 0.35rem }
mark.entity { padding: 0.2em 0.35em !important; margin: 0 0.1em !important }
.topic { font-size: 0.75rem; border-radius: 1rem; padding: 0.1rem 0.6rem; background: #e5dbff; white-space: nowrap }
.question { font-weight: 600 }
.new { color: #6741d9; background: #f3f0ff; border-radius: 3px }
"""


def render_page(sections: Sequence[str]) -> str:
    """RETURNS (str): An HTML page of sections."""
    return card_page("spacy_bloom", STYLE, "\n".join(sections))


def render_section(title: str, text: str, cards: Sequence[str]) -> str:
    """RETURNS (str): A heading, a line of text below it, and cards side by side."""
    return f"{_heading(title, text)}\n{_cards(cards)}"


def render_heat_map(title: str, text: str, headings: Sequence[str], docs: Sequence[Doc]) -> str:
    """RETURNS (str): A heading, a line of text below it, and Docs that `bloom_surprisal` has annotated."""
    return f"{_heading(title, text)}\n{render_surprisal(docs, headings=headings)}"


def render_entities(heading: str, doc: Doc) -> str:
    """RETURNS (str): A card with the entities of a Doc."""
    ents = displacy.parse_ents(doc)["ents"] if doc.ents else []  # displaCy warns of a Doc without
    return _card(heading, _marked(doc, ents))


def render_category(heading: str, doc: Doc) -> str:
    """RETURNS (str): A card with a Doc, and the most probable of its categories, if it has some."""
    return _card(heading, _paragraph(doc, html.escape(doc.text)), best_category(doc))


def render_answers(heading: str, doc: Doc) -> str:
    """RETURNS (str): A card with a Doc, the questions that were asked of it, and their answers marked in it."""
    answers = get_answers(doc)
    questions = "".join(f'<p class="question" dir="auto">{html.escape(q)}</p>' for q in answers)
    spans = sorted(span for of_one in answers.values() for span in of_one)
    ents: List[Dict[str, Any]] = []
    for span in spans:  # displaCy marks what does not overlap
        if not ents or ents[-1]["end"] <= span.start_char:
            ents.append({"start": span.start_char, "end": span.end_char, "label": "ANSWER"})
    return _card(heading, questions + _marked(doc, ents))


def render_continuation(heading: str, doc: Doc, attr: str = "generated") -> str:
    """RETURNS (str): A card with a Doc and what was generated after it."""
    new = html.escape(str(doc._.get(attr) or ""))
    return _card(heading, _paragraph(doc, f'{html.escape(doc.text)}<span class="new">{new}</span>'))


def best_category(doc: Doc) -> str:
    """RETURNS (str): The most probable category of a Doc and its score in per cent; empty if it has none, as a Doc
    without tokens.
    """
    if not any(doc.cats.values()):
        return ""
    label = max(doc.cats, key=lambda name: doc.cats[name])
    return f"{label} {doc.cats[label]:.0%}"


def _heading(title: str, text: str) -> str:
    return f"<h1>{html.escape(title)}</h1>\n<p>{html.escape(text)}</p>"


def _cards(cards: Sequence[str]) -> str:
    return '<div class="cards">\n' + "\n".join(cards) + "\n</div>"


def _card(heading: str, content: str, topic: str = "") -> str:
    chip = f'<span class="topic">{html.escape(topic)}</span>' if topic else ""
    return (
        f'<section class="card"><header><h2>{html.escape(heading)}</h2>{chip}</header>\n{content}\n</section>'
    )


def _paragraph(doc: Doc, content: str) -> str:
    return f'<p dir="{direction(doc.text)}">{content}</p>'


def _marked(doc: Doc, ents: List[Dict[str, Any]]) -> str:
    """RETURNS (str): A Doc with parts of it marked, in its own direction of writing: displaCy gives all of a page the
    direction of its first Doc.
    """
    settings = {"lang": doc.lang_, "direction": direction(doc.text)}
    given = {"text": doc.text, "ents": ents, "title": None, "settings": settings}
    return displacy.render(given, style="ent", manual=True, jupyter=False, options={"colors": COLORS})
