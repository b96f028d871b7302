"""Docs as HTML, each token on a background that shows how surprising it is."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy
from spacy.tokens import Doc, Token

from ...errors import InputError
from .jupyter import Html, Jupyter, shown
from .rendering import make_environment

# From pale to dark in even steps of lightness, so that it works in grey and with any colour vision.
# SOURCE: ColorBrewer's YlOrBr (Brewer and Harrower), white before it.
SCALE = ("#ffffff", "#ffffe5", "#fff7bc", "#fee391", "#fec44f", "#fe9929", "#ec7014", "#cc4c02", "#8c2d04")
DARK_TEXT, LIGHT_TEXT = "#000000", "#ffffff"  # anything between has too little contrast mid-scale
LEGEND_STEPS = 9
STEP = 8  # bits; the top of the scale is a multiple of it, so that the legend has whole numbers

ENVIRONMENT = make_environment()


def render_surprisal(
    docs: Doc | Sequence[Doc],
    page: bool = False,
    *,
    attr: str = "surprisal",
    max_bits: float | None = None,
    headings: Sequence[str] | None = None,
    jupyter: Jupyter = "auto",
) -> Html | None:
    """Render each token on a background from white (0 bits) through yellow to brown. Its bits are shown when the mouse
    is over it. Tokens without a surprisal are underlined. Each Doc has its own text direction.

    docs (Doc | Sequence[Doc]): Docs annotated by `bloom_surprisal`.
    page (bool): Return a complete HTML page instead of a fragment.
    attr (str): The tokens' extension attribute.
    max_bits (float | None): End of the scale; tokens above it are equally dark. None takes a multiple of 8 that 95% of
        the tokens do not exceed. Set a number to compare pages.
    headings (Sequence[str] | None): One heading above each Doc.
    jupyter (bool | str): Whether to show it in a notebook; "auto" does where there is one, except pages.
    RETURNS (Html | None): HTML, including its style; None if it was shown.
    RAISES (InputError): The Docs are not annotated, max_bits is not a positive number, or the number of headings is
        not that of the Docs.
    """
    docs = [docs] if isinstance(docs, Doc) else list(docs)
    if headings is not None and len(headings) != len(docs):
        raise InputError(f"Expected one heading per Doc, got {len(headings)} for {len(docs)} Docs.")
    if max_bits is not None and not 0 < max_bits < math.inf:
        raise InputError(f"Expected max_bits above 0, or None, got {max_bits}.")
    bits = [_bits_of(doc, attr) for doc in docs]
    top = _top_of_scale(bits) if max_bits is None else max_bits
    tokens = [
        [_cell(*pair, top) for pair in zip(doc, values, strict=True)]
        for doc, values in zip(docs, bits, strict=True)
    ]
    titles = headings if headings is not None else [None] * len(docs)
    template = ENVIRONMENT.get_template("heat_map_page.html" if page else "heat_map.html")
    html = template.render(
        title="Surprisal", legend=_legend(top), docs=list(zip(titles, tokens, strict=True))
    )
    return shown(html, jupyter, page=page)


def color_of(share: float) -> tuple[str, str]:
    """share (float): Position on the scale, from 0 to 1.
    RETURNS (tuple[str, str]): The background, and a text color that is readable on it.
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


def _legend(top: float) -> list[tuple[str, str]]:
    """RETURNS (list[tuple[str, str]]): Labels, and the style of their cells."""
    last = LEGEND_STEPS - 1
    steps = [top * number / last for number in range(LEGEND_STEPS)]
    return [(f"{bits:.3g}" + ("+" if n == last else ""), _style(bits, top)) for n, bits in enumerate(steps)]


class Cell(NamedTuple):
    """A token for the template; the space after it is outside its background."""

    text: str
    space: str
    title: str
    classes: str
    color: str


def _cell(token: Token, bits: float, top: float) -> Cell:
    known = math.isfinite(bits)
    title = f"{bits:.2f} bits" if known else "no surprisal: nothing stands before it"
    classes = " ".join(name for name, holds in (("none", not known), ("line", "\n" in token.text)) if holds)
    return Cell(token.text, token.whitespace_, title, classes, _style(bits, top) if known else "")


def _style(bits: float, top: float) -> str:
    background, text = color_of(bits / top)
    return f"background: {background}; color: {text}"
