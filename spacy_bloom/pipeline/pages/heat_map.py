"""Docs as HTML, each token on a background that says how surprising it is."""

import html
import math
from collections.abc import Sequence

import numpy
from spacy.tokens import Doc, Token

from ...errors import InputError
from .html_page import html_page

# From pale to dark, in even steps of lightness, so that it reads in grey and with any colour vision.
# SOURCE: ColorBrewer's YlOrBr (Brewer and Harrower), white before it.
SCALE = ("#ffffff", "#ffffe5", "#fff7bc", "#fee391", "#fec44f", "#fe9929", "#ec7014", "#cc4c02", "#8c2d04")
DARK_TEXT, LIGHT_TEXT = "#000000", "#ffffff"  # anything between has too little contrast in the middle
LEGEND_STEPS = 9
STEP = 8  # the top of the scale is a multiple, in bits: so the legend has whole numbers

PAGE_STYLE = "body { margin: 2rem auto; padding: 0 1rem; max-width: 52rem; background: #fff }"
STYLE = """<style>
.surprisal { font-family: system-ui, sans-serif; font-size: 17px; color: #1a1a1a }
.surprisal h2 { font-size: 0.8rem; font-weight: 600; color: #595959; margin: 1.4rem 0 0.2rem }
.surprisal .doc { line-height: 2; white-space: pre-wrap; overflow-wrap: anywhere }
.surprisal .doc span { padding: 0.22em 1px; border-radius: 3px; box-decoration-break: clone;
  -webkit-box-decoration-break: clone; box-shadow: inset 0 0 0 0.5px rgba(0, 0, 0, 0.12) }
.surprisal .doc span.none { border-bottom: 2px dotted #8c8c8c; box-shadow: none }
.surprisal .doc span.line::before { content: "\\21b5"; opacity: 0.6 }
.surprisal .legend { display: flex; align-items: center; font-size: 0.75rem; color: #595959; direction: ltr }
.surprisal .legend span { min-width: 2.6em; padding: 0.35em 0; text-align: center;
  box-shadow: inset 0 0 0 0.5px rgba(0, 0, 0, 0.12) }
.surprisal .legend b { font-weight: 600; margin-inline-end: 0.8em }
</style>"""


def render_surprisal(
    docs: Doc | Sequence[Doc],
    page: bool = False,
    *,
    attr: str = "surprisal",
    max_bits: float | None = None,
    headings: Sequence[str] | None = None,
) -> str:
    """Each token on a background from white (0 bits) over yellow to brown, its bits in a title that shows when the
    mouse is over it. Each Doc is set in its own direction of writing. Tokens without a surprisal are underlined.

    docs (Doc | Sequence[Doc]): Annotated by `bloom_surprisal`.
    page (bool): Whether to return a whole HTML page, not a part of one.
    attr (str): The tokens' extension.
    max_bits (float | None): Where the scale ends; tokens with more are as dark. None takes a multiple of 8 that 95%
        of the Docs' tokens do not exceed; give a number to compare pages.
    headings (Sequence[str] | None): One above each Doc.
    RETURNS (str): HTML, with its style.
    RAISES (InputError): Docs without the annotation, a scale that does not end above 0, or headings that are not as
        many as the Docs.
    """
    docs = [docs] if isinstance(docs, Doc) else list(docs)
    if headings is not None and len(headings) != len(docs):
        raise InputError(f"Expected one heading per Doc, got {len(headings)} for {len(docs)} Docs.")
    if max_bits is not None and not 0 < max_bits < math.inf:
        raise InputError(f"Expected max_bits above 0, or None, got {max_bits}.")
    bits = [_bits_of(doc, attr) for doc in docs]
    top = _top_of_scale(bits) if max_bits is None else max_bits
    parts = [STYLE, '<div class="surprisal">', _legend(top)]
    for number, (doc, values) in enumerate(zip(docs, bits, strict=True)):
        if headings is not None:
            parts.append(f'<h2 dir="auto">{html.escape(headings[number])}</h2>')
        tokens = "".join(_token(token, value, top) for token, value in zip(doc, values, strict=True))
        parts.append(f'<div class="doc" dir="auto">{tokens}</div>')
    body = "\n".join([*parts, "</div>"])
    return html_page("Surprisal", PAGE_STYLE, body) if page else body


def color_of(share: float) -> tuple[str, str]:
    """share (float): Of the scale, from 0 to 1.
    RETURNS (tuple[str, str]): The background, and the color of text that can be read on it.
    """
    place = min(max(share, 0.0), 1.0) * (len(SCALE) - 1)
    index = min(int(place), len(SCALE) - 2)
    low, high = (numpy.array(_rgb(color)) for color in SCALE[index : index + 2])
    mixed = low + (high - low) * (place - index)
    background = "#" + "".join(f"{round(value):02x}" for value in mixed)
    readable = max((DARK_TEXT, LIGHT_TEXT), key=lambda text: contrast(text, background))
    return background, readable


def contrast(one: str, other: str) -> float:
    """RETURNS (float): Contrast of two colors, from 1 to 21. SOURCE: WCAG 2.2."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def luminance(color: str) -> float:
    """RETURNS (float): Relative luminance, from 0 to 1. SOURCE: WCAG 2.2."""
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in _shares(color)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _rgb(color: str) -> list[int]:
    return [int(color[i : i + 2], 16) for i in (1, 3, 5)]


def _shares(color: str) -> list[float]:
    return [value / 255 for value in _rgb(color)]


def _bits_of(doc: Doc, attr: str) -> list[float]:
    found = [token._.get(attr) for token in doc] if Token.has_extension(attr) else [None]
    values = [float(value) for value in found if value is not None]
    if len(values) < len(found):
        raise InputError(
            f"Expected Docs whose tokens have ._.{attr}: add bloom_surprisal to the pipeline, or name its attr."
        )
    return values


def _top_of_scale(bits: Sequence[Sequence[float]]) -> float:
    values = [value for row in bits for value in row if math.isfinite(value)]
    highest = float(numpy.quantile(values, 0.95, method="inverted_cdf")) if values else 0.0
    return float(max(STEP, math.ceil(highest / STEP) * STEP))


def _legend(top: float) -> str:
    cells = []
    for number in range(LEGEND_STEPS):
        bits = top * number / (LEGEND_STEPS - 1)
        label = f"{bits:.3g}" + ("+" if number == LEGEND_STEPS - 1 else "")
        cells.append(f"<span {_style(bits, top)}>{label}</span>")
    return f'<div class="legend"><b>bits</b>{"".join(cells)}</div>'


def _token(token: Token, bits: float, top: float) -> str:
    """RETURNS (str): The token, and the space after it outside of its background."""
    known = math.isfinite(bits)
    title = f"{bits:.2f} bits" if known else "no surprisal: nothing stands before it"
    classes = [name for name, holds in (("none", not known), ("line", "\n" in token.text)) if holds]
    names = f' class="{" ".join(classes)}"' if classes else ""
    style = f" {_style(bits, top)}" if known else ""
    return f'<span{names}{style} title="{title}">{html.escape(token.text)}</span>{token.whitespace_}'


def _style(bits: float, top: float) -> str:
    background, text = color_of(bits / top)
    return f'style="background: {background}; color: {text}"'
