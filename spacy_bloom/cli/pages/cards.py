"""What the pages of the commands share: cards, each with its own text direction."""

import unicodedata
from pathlib import Path

from ...pipeline.pages.rendering import make_environment

ENVIRONMENT = make_environment(Path(__file__).parent / "templates")


def direction(text: str) -> str:
    """RETURNS (str): "rtl" or "ltr", decided by the first character that has a direction."""
    for character in text:
        kind = unicodedata.bidirectional(character)
        if kind in ("R", "AL"):
            return "rtl"
        if kind == "L":
            return "ltr"
    return "ltr"


ENVIRONMENT.filters["direction"] = direction
