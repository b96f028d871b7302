"""What chat templates are in a config, and what becomes of a chat."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import ConfigError
from ..settings import shown


@dataclass
class Rendered:
    """A chat as text.

    text (str): The text.
    generated (list[tuple[int, int]]): Characters inside of `{% generation %}`: first, and after the last.
    control (list[tuple[int, int]]): Characters of control tokens that the template wrote; only with `control`.
    """

    text: str
    generated: list[tuple[int, int]] = field(default_factory=list)
    control: list[tuple[int, int]] = field(default_factory=list)

    def cut(self, length: int) -> "Rendered":
        """RETURNS (Rendered): The first characters."""
        return Rendered(
            self.text[:length], self.generated, [span for span in self.control if span[1] <= length]
        )


def read_chat_template(value: Any) -> str | dict[str, str] | None:
    """RETURNS (str | dict[str, str] | None): A config's template, or several by name.
    RAISES (ConfigError): It is none of these.
    """
    if isinstance(value, (list, tuple)) and all(isinstance(part, Mapping) for part in value):
        value = {part.get("name"): part.get("template") for part in value}
    if isinstance(value, Mapping) and all(isinstance(part, str) for pair in value.items() for part in pair):
        return dict(value)
    if value is None or isinstance(value, str):
        return value
    raise ConfigError(f"Expected chat_template to be a text, or texts by name; got {shown(value)}.")


def templates_as_list(templates: Mapping[str, str]) -> list[dict[str, str]]:
    """RETURNS (list[dict[str, str]]): Several templates as a config has them."""
    return [{"name": name, "template": template} for name, template in templates.items()]
