"""HTML from templates. Every value is escaped, unless it is HTML already (`markupsafe.Markup`)."""

import unicodedata
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).parent / "templates"


def make_environment(*folders: Path) -> Environment:
    """folders (Path): Directories of templates, searched before those of this package.
    RETURNS (Environment): Renders them.
    """
    loader = FileSystemLoader([*folders, TEMPLATES])
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["direction"] = direction
    return environment


def direction(text: str) -> str:
    """RETURNS (str): "rtl" or "ltr", decided by the first character that has a direction."""
    for character in text:
        kind = unicodedata.bidirectional(character)
        if kind in ("R", "AL"):
            return "rtl"
        if kind == "L":
            return "ltr"
    return "ltr"
