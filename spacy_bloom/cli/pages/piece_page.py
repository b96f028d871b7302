"""Texts as HTML: pieces in alternating colours, a frame around each token, and the windows that cover them."""

import html
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from ..pieces.counts import Counts
from ..pieces.view import CutText, readable
from .card_page import card_page, direction

STYLE = """
.legend { color: #595959; font-size: 0.85rem; margin: 0 0 0.8rem }
.legend span { color: #1a1a1a; padding: 0.15em 0.35em; margin-inline: 0.2em 0.9em }
.card { margin: 0 0 0.7rem }
.card header { color: #595959; font-size: 0.8rem }
.text { font-size: 1.1rem; line-height: 2.1; white-space: pre-wrap; overflow-wrap: anywhere; margin: 0.4rem 0 }
.text span, .legend span { padding-block: 0.2em }
.a { background: #d0ebff } .b { background: #fff3bf } .bytes { background: #ffc9c9 }
.t { box-shadow: inset 0 1px #868e96, inset 0 -1px #868e96 }
.t.l { box-shadow: inset 0 1px #868e96, inset 0 -1px #868e96, inset 1px 0 #868e96 }
.t.r { box-shadow: inset 0 1px #868e96, inset 0 -1px #868e96, inset -1px 0 #868e96 }
.t.l.r { box-shadow: inset 0 0 0 1px #868e96 }
.line::before { content: "\\21b5"; opacity: 0.6 }
.text i { font: 600 0.65rem system-ui, sans-serif; color: #fff; background: #6741d9; border-radius: 3px;
  padding: 0.1em 0.4em; margin-inline-end: 0.2em; vertical-align: 0.25em; unicode-bidi: isolate }
.windows { display: grid; grid-template-columns: max-content 1fr; gap: 0.15rem 0.6rem; align-items: center;
  font-size: 0.75rem; color: #595959; margin-top: 0.3rem }
.windows div { background: #f1f3f5; height: 0.6rem; border-radius: 3px }
.windows b { display: block; height: 100%; border-radius: 3px }
table { border-collapse: collapse; font-size: 0.85rem; background: #fff; margin: 0 0 0.8rem }
td, th { border: 1px solid #e3e3df; padding: 0.25rem 0.6rem; text-align: end; font-variant-numeric: tabular-nums }
td:first-child, th:first-child { text-align: start }
th { font-weight: 600; color: #595959 }
.warning { background: #fff4e6; border: 1px solid #ffd8a8; border-radius: 8px; padding: 0.4rem 0.8rem; font-size: 0.85rem;
  margin: 0 0 0.5rem }
"""
LEGEND = (
    '<p class="legend"><span class="a">piece</span><span class="b">next piece</span><span class="bytes">character in '
    'several pieces</span><span class="t l r">token</span>Details are in the titles under the mouse.</p>'
)
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
    """A whole page; each text is set in its own direction of writing.

    about (str): Which tokenizer and windows these are.
    cut (Mapping[str, Sequence[CutText]]): Texts by the headings above them.
    counts (Mapping[str, Counts] | None): Of a corpus, by group.
    warnings (Sequence[str]): What the reader should know.
    RETURNS (str): HTML.
    """
    parts = [f'<p class="warning" dir="auto">{html.escape(warning)}</p>' for warning in warnings]
    if counts:
        parts.append(_table(counts))
    parts.append(LEGEND)
    parts += [
        _card(heading if len(texts) == 1 else f"{heading}, text {number}", text)
        for heading, texts in cut.items()
        for number, text in enumerate(texts, start=1)
    ]
    return card_page("Pieces", STYLE, "\n".join([f"<h1>Pieces</h1>\n<p>{html.escape(about)}</p>", *parts]))


def _table(counts: Mapping[str, Counts]) -> str:
    head = "".join(f"<th>{title}</th>" for title in ("", *COLUMNS.values()))
    rows = []
    for name, group in counts.items():
        summary = group.summary()
        cells = "".join(f"<td>{format_figure(key, summary[key])}</td>" for key in COLUMNS)
        rows.append(f"<tr><td>{html.escape(name)}</td>{cells}</tr>")
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def format_figure(name: str, value: float | None) -> str:
    """RETURNS (str): A figure of `Counts.summary` as people read it."""
    if value is None:
        return "-"
    if name.endswith("_share"):
        return f"{value:.1%}"
    return f"{value:,}" if isinstance(value, int) else f"{value:.2f}"


def _card(heading: str, cut: CutText) -> str:
    text = cut.doc.text
    figures = (
        f"{len(text):,} characters · {len(text.encode('utf8')):,} bytes · {len(cut.doc):,} tokens · "
        f"{len(cut):,} pieces · {len(cut.windows):,} {'window' if len(cut.windows) == 1 else 'windows'}"
    )
    segments = "".join(_segments(cut))
    return (
        f'<section class="card"><header><h2 dir="auto">{html.escape(heading)}</h2><span>{figures}</span></header>\n'
        f'<div class="text" dir="{direction(text)}">{segments}</div>\n{_windows(cut)}</section>'
    )


def _segments(cut: CutText) -> Iterator[str]:
    """YIELDS (str): The text between every border of a token, a piece or a window and the next one. Only backgrounds
    and shadows tell them apart: with anything that takes room, Arabic letters would not join.
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
        if start in windows:
            yield f"<i>window {windows[start]}</i>"
        token, pieces = of_character[start]
        first = token is not None and start == cut.doc[token].idx
        last = token is not None and end == cut.doc[token].idx + len(cut.doc[token])
        yield _segment(text[start:end], cut, token, pieces, first, last)


def _segment(
    text: str, cut: CutText, token: int | None, pieces: Sequence[int], first: bool, last: bool
) -> str:
    classes = ["bytes" if len(pieces) > 1 else "ab"[pieces[0] % 2]] if pieces else []
    if token is not None:
        is_rtl = direction(text if text.strip() else cut.doc.text) == "rtl"
        left, right = (last, first) if is_rtl else (first, last)
        classes += ["t", *(["l"] if left else []), *(["r"] if right else [])]
    if "\n" in text:
        classes.append("line")
    ids = cut.pieces.ids
    title = [f"piece {piece}: {readable(cut.spelled[piece])} (id {ids[piece]})" for piece in pieces]
    title.append(
        "between tokens"
        if token is None
        else f"token {token}: {readable(cut.doc[token].text.encode('utf8'))}"
    )
    shown = html.escape("\n".join(title))
    return f'<span class="{" ".join(classes)}" title="{shown}">{html.escape(text)}</span>'


def _windows(cut: CutText) -> str:
    """RETURNS (str): A bar for each window over the Doc's pieces: what is context is pale. Nothing for one window."""
    if len(cut.windows) < 2:
        return ""
    bars = []
    for number, window in enumerate(cut.windows, start=1):
        first, last = 100 * window.kept.start / len(window), 100 * window.kept.stop / len(window)
        style = (
            f"margin-inline-start: {100 * window.start / len(cut):.2f}%; width: {100 * len(window) / len(cut):.2f}%; "
            f"background: linear-gradient(to right, #d0bfff {first:.2f}%, #6741d9 {first:.2f}%, "
            f"#6741d9 {last:.2f}%, #d0bfff {last:.2f}%)"
        )
        n_context = len(window) - (window.keep_end - window.keep)
        context = f", {n_context} of context" if n_context else ""
        label = f"window {number}: pieces {window.start} to {window.end - 1}{context}"
        bars.append(f'<span>{label}</span><div><b style="{style}"></b></div>')
    return f'<div class="windows">{"".join(bars)}</div>'
