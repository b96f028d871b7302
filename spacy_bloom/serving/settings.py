"""Limits of the service."""

from dataclasses import dataclass
from typing import Annotated

from ..settings import PositiveInt, check_settings, number


@dataclass(frozen=True, kw_only=True)
class ServingSettings:
    """What the service takes, and how it works through it. All lengths are in characters.

    max_length (int): Of a text, and of a question; longer ones are refused.
    max_texts (int): Number of texts in a request, and of questions about each.
    max_queue (int): Length of all texts and questions that may wait; what comes on top is refused for now.
    batch_length (int): Length of the texts and questions that are processed together; a longer one goes alone.
    timeout (float): Seconds until a request gets an answer, whether it is done or not.
    RAISES (ConfigError): A setting has a wrong value.
    """

    max_length: PositiveInt = 10_000
    max_texts: PositiveInt = 64
    max_queue: PositiveInt = 500_000
    batch_length: PositiveInt = 20_000
    timeout: Annotated[float, number(above=0)] = 60.0

    def __post_init__(self) -> None:
        check_settings(self, "serve")

    @property
    def max_body(self) -> int:
        """Bytes of a request: as many as all waiting characters have when JSON escapes each, and room for names."""
        return 6 * self.max_queue + 65_536
