"""The demo's page: Docs with their entities, categories, answers, continuations and surprisal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup
from spacy.tokens import Doc

from ...pipeline.pages.heat_map import render_surprisal
from ...pipeline.pages.marks import Mark, answer_blocks, mark_text
from .cards import ENVIRONMENT
from .languages import LANGUAGES, Language

UNKNOWN = Language("", "")


@dataclass(frozen=True)
class Card:
    """A Doc on the page.

    heading (str): What stands above the text: the name of its language, or another one.
    text (str): The text.
    blocks (Sequence[tuple[str, Markup]]): The text as HTML with marked spans, each with a question or nothing above
        it; they take the place of the plain text.
    topic (str): A label beside the heading.
    continuation (str | None): What was generated after the text.
    """

    heading: str
    text: str
    blocks: Sequence[tuple[str, Markup]] = ()
    topic: str = ""
    continuation: str | None = None

    @property
    def language(self) -> Language:
        """The language that the heading names, if it does."""
        return LANGUAGES.get(self.heading, UNKNOWN)

    @property
    def goes_on(self) -> bool:
        """Whether the continuation has anything to read: a model may end a text at once, or with a full stop."""
        return any(character.isalnum() for character in self.continuation or "")


@dataclass(frozen=True)
class Section:
    """A part of the page.

    title, source (str): Its heading, and where the results come from.
    cards (Sequence[Card]): Cards side by side.
    html (Markup | None): HTML instead of cards.
    quality (str): How good the model is.
    code (str): Python that does the same with the first text.
    """

    title: str
    source: str
    cards: Sequence[Card] = ()
    html: Markup | None = None
    quality: str = ""
    code: str = ""


def render_page(sections: Sequence[Section]) -> str:
    """RETURNS (str): A complete HTML page."""
    return ENVIRONMENT.get_template("demo.html").render(title="spacy_bloom", sections=sections)


def entities_card(heading: str, doc: Doc, scores: Mapping[int, float] | None = None) -> Card:
    """scores (Mapping[int, float] | None): Probability of entities, by their first token.
    RETURNS (Card): A Doc with its entities marked.
    """
    known = scores or {}
    marks = [
        Mark(e.start_char, e.end_char, e.label_, f"{known[e.start]:.0%}" if e.start in known else "")
        for e in doc.ents
    ]
    return Card(heading, doc.text, [("", mark_text(doc.text, marks, lang=_code(heading)))])


def category_card(heading: str, doc: Doc) -> Card:
    """RETURNS (Card): A Doc with the most probable of its categories."""
    return Card(heading, doc.text, topic=best_category(doc))


def answers_card(heading: str, doc: Doc) -> Card:
    """RETURNS (Card): A Doc with the questions about it, each with its best answer marked."""
    return Card(heading, doc.text, answer_blocks(doc, lang=_code(heading)))


def continuation_card(heading: str, doc: Doc, attr: str = "generated") -> Card:
    """RETURNS (Card): A Doc and what was generated after it."""
    return Card(heading, doc.text, continuation=str(doc._.get(attr) or ""))


def surprisal_html(docs: Mapping[str, Doc]) -> Markup:
    """RETURNS (Markup): A heat map of Docs that `bloom_surprisal` has annotated, by heading."""
    return Markup(render_surprisal(list(docs.values()), headings=list(docs), jupyter=False))


def best_category(doc: Doc) -> str:
    """RETURNS (str): The most probable category and its probability; empty if the Doc has none, as one without tokens."""
    if not any(doc.cats.values()):
        return ""
    label = max(doc.cats, key=lambda name: doc.cats[name])
    return f"{label} {doc.cats[label]:.0%}"


def _code(heading: str) -> str:
    return LANGUAGES.get(heading, UNKNOWN).code
