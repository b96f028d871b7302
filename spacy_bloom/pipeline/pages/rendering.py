"""HTML from templates. Every value is escaped, unless it is HTML already (`markupsafe.Markup`)."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).parent / "templates"


def make_environment(*folders: Path) -> Environment:
    """folders (Path): Directories of templates, searched before those of this package.
    RETURNS (Environment): Renders them.
    """
    loader = FileSystemLoader([*folders, TEMPLATES])
    return Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
