"""Texts as HTML: pieces in alternating colours, a frame around each token, and the windows that cover them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from ...pipeline.pages.rendering import direction
from ..pieces.counts import Counts
from ..pieces.view import CutText, readable
from .cards import ENVIRONMENT

PALE, FULL = "#d0bfff", "#6741d9"
# Columns of the table, by their names in `Counts.summary`.
COLUMNS = {
    "texts": "texts",
    "tokens": "tokens",
    "pieces": "pieces",
    "bytes_per_piece": "bytes per piece",
    "pieces_per_token": "pieces per token",
    "byte_pieces_share": "single bytes",
    "pieces_per_text_95": "pieces of a text, 95%",
    "pieces_per_text_max": "longest",
    "windows": "windows",
}


def render_pieces(
    about: str,
    cut: Mapping[str, Sequence[CutText]],
    *,
    counts: Mapping[str, Counts] | None = None,
    warnings: Sequence[str] = (),
) -> str:
    """Render a complete page, each text in its own direction.

    about (str): The tokenizer and windows in use.
    cut (Mapping[str, Sequence[CutText]]): Texts by heading.
    counts (Mapping[str, Counts] | None): Counts of a corpus by group.
    warnings (Sequence[str]): What needs the reader's attention.
    RETURNS (str): HTML.
    """
    cards = [
        _card(heading if len(texts) == 1 else f"{heading}, text {number}", text)
        for heading, texts in cut.items()
        for number, text in enumerate(texts, start=1)
    ]
    summaries = {name: group.summary() for name, group in (counts or {}).items()}
    rows = [(name, *(format_figure(key, found[key]) for key in COLUMNS)) for name, found in summaries.items()]
    template = ENVIRONMENT.get_template("pieces.html")
    header = ("", *COLUMNS.values())
    return template.render(
        title="Pieces", about=about, warnings=warnings, header=header, rows=rows, cards=cards
    )


def format_figure(name: str, value: float | None) -> str:
    """RETURNS (str): A figure of `Counts.summary` formatted for reading."""
    if value is None:
        return "-"
    if name.endswith("_share"):
        return f"{value:.1%}"
    return f"{value:,}" if isinstance(value, int) else f"{value:.2f}"


class Segment(NamedTuple):
    """Text between two borders for the template; `window` is the number of the window that begins with it, or 0."""

    text: str
    classes: str
    title: str
    window: int


class Bar(NamedTuple):
    """A window for the template."""

    label: str
    style: str


@dataclass(frozen=True)
class Card:
    """A text for the template."""

    heading: str
    figures: str
    text: str
    segments: list[Segment]
    windows: list[Bar]


def _card(heading: str, cut: CutText) -> Card:
    text = cut.doc.text
    figures = (
        f"{len(text):,} characters · {len(text.encode('utf8')):,} bytes · {len(cut.doc):,} tokens · "
        f"{len(cut):,} pieces · {len(cut.windows):,} {'window' if len(cut.windows) == 1 else 'windows'}"
    )
    return Card(heading, figures, text, list(_segments(cut)), _bars(cut))


def _segments(cut: CutText) -> Iterator[Segment]:
    """YIELDS (Segment): The text between every border of a token, a piece or a window and the next one. Only
    backgrounds and shadows tell them apart: with anything that takes room, Arabic letters would not join.
    """
    text, offsets = cut.doc.text, cut.pieces.offsets.tolist()
    token_at = {i: token for token in cut.doc for i in range(token.idx, token.idx + len(token))}
    pieces_at: dict[int, list[int]] = {}
    for piece, (start, end) in enumerate(offsets):
        for i in range(start, end):
            pieces_at.setdefault(i, []).append(piece)
    windows = {offsets[w.keep][0]: n for n, w in enumerate(cut.windows, start=1) if w.keep}
    of_character = [
        (token_at[i].i if i in token_at else None, tuple(pieces_at.get(i, ()))) for i in range(len(text))
    ]
    borders = {0, len(text), *windows}
    borders.update(i for i in range(1, len(text)) if of_character[i] != of_character[i - 1])
    for start, end in pairwise(sorted(borders)):
        token, pieces = of_character[start]
        classes = _classes(text[start:end], cut, token, pieces, start, end)
        yield Segment(text[start:end], " ".join(classes), _title(cut, token, pieces), windows.get(start, 0))


def _classes(
    text: str, cut: CutText, token: int | None, pieces: Sequence[int], start: int, end: int
) -> Iterator[str]:
    if pieces:
        yield "bytes" if len(pieces) > 1 else "ab"[pieces[0] % 2]
    if token is not None:
        own = cut.doc[token]
        first, last = start == own.idx, end == own.idx + len(own)
        is_rtl = direction(text if text.strip() else cut.doc.text) == "rtl"
        left, right = (last, first) if is_rtl else (first, last)
        yield from ("t", *("l" * left), *("r" * right))
    if "\n" in text:
        yield "line"


def _title(cut: CutText, token: int | None, pieces: Sequence[int]) -> str:
    """RETURNS (str): What is shown when the mouse is over a segment."""
    ids = cut.pieces.ids
    lines = [f"piece {piece}: {readable(cut.spelled[piece])} (id {ids[piece]})" for piece in pieces]
    if token is None:
        return "\n".join([*lines, "between tokens"])
    return "\n".join([*lines, f"token {token}: {readable(cut.doc[token].text.encode('utf8'))}"])


def _bars(cut: CutText) -> list[Bar]:
    """RETURNS (list[Bar]): A bar over the Doc's pieces for each window; its context is pale."""
    bars = []
    for number, window in enumerate(cut.windows, start=1):
        first, last = 100 * window.kept.start / len(window), 100 * window.kept.stop / len(window)
        style = (
            f"margin-inline-start: {100 * window.start / len(cut):.2f}%; width: {100 * len(window) / len(cut):.2f}%; "
            f"background: linear-gradient(to right, {PALE} {first:.2f}%, {FULL} {first:.2f}%, "
            f"{FULL} {last:.2f}%, {PALE} {last:.2f}%)"
        )
        n_context = len(window) - (window.keep_end - window.keep)
        context = f", {n_context} of context" if n_context else ""
        bars.append(Bar(f"window {number}: pieces {window.start} to {window.end - 1}{context}", style))
    return bars
