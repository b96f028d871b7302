"""Texts as HTML, with marked spans: entities, span groups and answers."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from markupsafe import Markup
from spacy.tokens import Doc, Span

from ...errors import InputError
from ..answering.answers import get_answers
from .jupyter import Html, Jupyter, shown
from .rendering import make_environment

ANSWER = "ANSWER"
# Pale, so that dark text can be read on them in both colour schemes.
COLORS = {
    "PER": "#ffd8a8",
    "PERSON": "#ffd8a8",
    "LOC": "#b2f2bb",
    "GPE": "#b2f2bb",
    "ORG": "#a5d8ff",
    ANSWER: "#fff3bf",
}
OTHER_COLORS = ("#eebefa", "#c3fae8", "#ffc9c9", "#d0bfff", "#d8f5a2", "#99e9f2", "#fcc2d7", "#ffec99")

ENVIRONMENT = make_environment()


class Mark(NamedTuple):
    """A span of a text to mark; character offsets.

    label (str): What stands beside it.
    note (str): A score or the like, after the label.
    color (str): Its ground; empty for that of the label.
    """

    start: int
    end: int
    label: str
    note: str = ""
    color: str = ""


class Segment(NamedTuple):
    """A part of a text for the template; one without a label is not marked."""

    text: str
    label: str = ""
    note: str = ""
    color: str = ""


def render_spans(
    docs: Doc | Sequence[Doc],
    key: str | None = None,
    page: bool = False,
    *,
    scores: bool = True,
    headings: Sequence[str] | None = None,
    jupyter: Jupyter = "auto",
) -> Html | None:
    """Render Docs with their spans marked, each in its own text direction. Of spans that overlap, the first and longest
    is marked.

    docs (Doc | Sequence[Doc]): Docs.
    key (str | None): Key of doc.spans; None for doc.ents.
    page (bool): Return a complete HTML page instead of a fragment.
    scores (bool): Show the scores that our components write beside spans, in percent.
    headings (Sequence[str] | None): One heading above each Doc.
    jupyter (bool | str): Whether to show it in a notebook; "auto" does where there is one.
    RETURNS (Html | None): HTML, including its style; None if it was shown.
    RAISES (InputError): The number of headings is not that of the Docs.
    """
    docs = [docs] if isinstance(docs, Doc) else list(docs)
    blocks = [("", mark_text(doc.text, _span_marks(doc, key, scores))) for doc in docs]
    return _render([[block] for block in blocks], page, headings, jupyter)


def render_answers(
    docs: Doc | Sequence[Doc],
    key: str = "answers",
    page: bool = False,
    *,
    headings: Sequence[str] | None = None,
    jupyter: Jupyter = "auto",
) -> Html | None:
    """Render each question above its Doc, in which the best answer is marked with its score in nats. Arguments as for
    `render_spans`.

    RETURNS (Html | None): HTML, including its style; None if it was shown.
    RAISES (InputError): The number of headings is not that of the Docs.
    """
    docs = [docs] if isinstance(docs, Doc) else list(docs)
    return _render([answer_blocks(doc, key) for doc in docs], page, headings, jupyter)


def answer_blocks(doc: Doc, key: str = "answers", *, lang: str = "") -> list[tuple[str, Markup]]:
    """RETURNS (list[tuple[str, Markup]]): Each question, and the Doc with its best answer marked."""
    return [
        (question, mark_text(doc.text, [_answer_mark(span) for span in spans[:1]], lang=lang))
        for question, spans in get_answers(doc, key=key).items()
    ]


def mark_text(text: str, marks: Iterable[Mark], *, lang: str = "") -> Markup:
    """lang (str): Code of the text's language, for fonts and screen readers; empty if it is not known.
    RETURNS (Markup): A paragraph with marked spans.
    """
    template = ENVIRONMENT.get_template("marked.html")
    return Markup(template.render(text=text, lang=lang, segments=list(_segments(text, marks))))


def color_of_label(label: str) -> str:
    """RETURNS (str): The ground of a label's marks, the same on all pages."""
    return COLORS.get(label) or OTHER_COLORS[sum(map(ord, label)) % len(OTHER_COLORS)]


def _segments(text: str, marks: Iterable[Mark]) -> Iterator[Segment]:
    end = 0
    for mark in sorted(marks, key=lambda m: (m.start, -m.end)):
        if mark.start < end:  # no mark stands in another one
            continue
        yield Segment(text[end : mark.start])
        color = mark.color or color_of_label(mark.label)
        yield Segment(text[mark.start : mark.end], mark.label, mark.note, color)
        end = mark.end
    yield Segment(text[end:])


def _span_marks(doc: Doc, key: str | None, scores: bool) -> Iterator[Mark]:
    group = doc.ents if key is None else doc.spans.get(key, [])
    known = [] if key is None or not scores else getattr(group, "attrs", {}).get("scores", [])
    for number, span in enumerate(group):
        score = float(known[number]) if number < len(known) else float("nan")
        yield Mark(span.start_char, span.end_char, span.label_, f"{score:.0%}" if score == score else "")


def _answer_mark(span: Span) -> Mark:
    score = span._.answer_score
    note = "" if score is None or score != score else f"{score:+.1f}"
    return Mark(span.start_char, span.end_char, ANSWER, note)


def _render(
    blocks: Sequence[Sequence[tuple[str, Markup]]],
    page: bool,
    headings: Sequence[str] | None,
    jupyter: Jupyter,
) -> Html | None:
    if headings is not None and len(headings) != len(blocks):
        raise InputError(f"Expected one heading per Doc, got {len(headings)} for {len(blocks)} Docs.")
    titles = headings if headings is not None else [""] * len(blocks)
    template = ENVIRONMENT.get_template("marks_page.html" if page else "marks.html")
    html = template.render(title="spacy_bloom", docs=list(zip(titles, blocks, strict=True)))
    return shown(html, jupyter, page=page)
