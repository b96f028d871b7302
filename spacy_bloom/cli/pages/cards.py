"""The templates of the commands' pages."""

from pathlib import Path

from ...pipeline.pages.rendering import make_environment

ENVIRONMENT = make_environment(Path(__file__).parent / "templates")
