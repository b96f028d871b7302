"""The demo's page: Docs with their entities, categories, answers, continuations and surprisal."""

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence

from markupsafe import Markup
from spacy import displacy
from spacy.tokens import Doc

from ...pipeline.answering.answers import get_answers
from ...pipeline.pages.heat_map import render_surprisal
from ...pipeline.pages.rendering import direction
from .cards import ENVIRONMENT

COLORS = {"PER": "#ffd8a8", "LOC": "#b2f2bb", "ORG": "#a5d8ff", "ANSWER": "#fff3bf"}


@dataclass(frozen=True)
class Card:
    """A Doc on the page.

    heading, text (str): What stands above the text, and the text.
    marked (Markup | None): The text as HTML with marked spans; it takes the place of the plain text.
    topic (str): A label beside the heading.
    questions (Sequence[str]): What was asked about the text.
    continuation (str | None): What was generated after the text.
    """

    heading: str
    text: str
    marked: Optional[Markup] = None
    topic: str = ""
    questions: Sequence[str] = ()
    continuation: Optional[str] = None


@dataclass(frozen=True)
class Section:
    """A part of the page.

    title, source (str): Its heading, and where the results come from.
    cards (Sequence[Card]): Cards side by side.
    html (Markup | None): HTML instead of cards.
    """

    title: str
    source: str
    cards: Sequence[Card] = ()
    html: Optional[Markup] = None


def render_page(sections: Sequence[Section]) -> str:
    """RETURNS (str): A complete HTML page."""
    return ENVIRONMENT.get_template("demo.html").render(title="spacy_bloom", sections=sections)


def entities_card(heading: str, doc: Doc) -> Card:
    """RETURNS (Card): A Doc with its entities marked."""
    ents = displacy.parse_ents(doc)["ents"] if doc.ents else []  # displaCy warns about a Doc without
    return Card(heading, doc.text, _mark(doc, ents))


def category_card(heading: str, doc: Doc) -> Card:
    """RETURNS (Card): A Doc with the most probable of its categories."""
    return Card(heading, doc.text, topic=best_category(doc))


def answers_card(heading: str, doc: Doc) -> Card:
    """RETURNS (Card): A Doc with the questions about it and their answers marked."""
    answers = get_answers(doc)
    spans = sorted(span for of_one in answers.values() for span in of_one)
    ents: List[Dict[str, Any]] = []
    for span in spans:  # displaCy cannot mark spans that overlap
        if not ents or ents[-1]["end"] <= span.start_char:
            ents.append({"start": span.start_char, "end": span.end_char, "label": "ANSWER"})
    return Card(heading, doc.text, _mark(doc, ents), questions=list(answers))


def continuation_card(heading: str, doc: Doc, attr: str = "generated") -> Card:
    """RETURNS (Card): A Doc and what was generated after it."""
    return Card(heading, doc.text, continuation=str(doc._.get(attr) or ""))


def surprisal_section(title: str, source: str, docs: Dict[str, Doc]) -> Section:
    """RETURNS (Section): A heat map of Docs that `bloom_surprisal` has annotated, by heading."""
    heat_map = render_surprisal(list(docs.values()), headings=list(docs))
    return Section(title, source, html=Markup(heat_map))


def best_category(doc: Doc) -> str:
    """RETURNS (str): The most probable category and its probability; empty if the Doc has none, as one without tokens."""
    if not any(doc.cats.values()):
        return ""
    label = max(doc.cats, key=lambda name: doc.cats[name])
    return f"{label} {doc.cats[label]:.0%}"


def _mark(doc: Doc, ents: List[Dict[str, Any]]) -> Markup:
    """RETURNS (Markup): A Doc with marked spans, in its own text direction. displaCy gives all Docs of a page the
    direction of the first.
    """
    settings = {"lang": doc.lang_, "direction": direction(doc.text)}
    given = {"text": doc.text, "ents": ents, "title": None, "settings": settings}
    html = displacy.render(given, style="ent", manual=True, jupyter=False, options={"colors": COLORS})
    return Markup(html)
