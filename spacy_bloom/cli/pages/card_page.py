"""What the pages of the commands have in common: cards on a pale ground, each in its own direction of writing."""

import unicodedata

from ...pipeline.pages.html_page import html_page

STYLE = """
body { font-family: system-ui, sans-serif; font-size: 16px; color: #1a1a1a; background: #f6f6f4;
  max-width: 70rem; margin: 1.5rem auto; padding: 0 1rem }
h1 { font-size: 1.15rem; margin: 1.8rem 0 0.2rem }
h1 + p { color: #595959; font-size: 0.85rem; margin: 0 0 0.7rem }
h2 { font-size: 0.8rem; font-weight: 600; color: #595959; margin: 0 }
.card { background: #fff; border: 1px solid #e3e3df; border-radius: 8px; padding: 0.6rem 0.9rem;
  overflow-wrap: anywhere }
.card header { display: flex; flex-wrap: wrap; justify-content: space-between; align-items: center; gap: 0 1rem }
"""


def card_page(title: str, style: str, body: str) -> str:
    """title (str): Plain text.
    style (str): CSS beyond that of cards.
    body (str): HTML.
    RETURNS (str): The page.
    """
    return html_page(title, STYLE + style.lstrip(), body)


def direction(text: str) -> str:
    """RETURNS (str): "rtl" or "ltr", as the first character with a direction says."""
    for character in text:
        kind = unicodedata.bidirectional(character)
        if kind in ("R", "AL"):
            return "rtl"
        if kind == "L":
            return "ltr"
    return "ltr"
