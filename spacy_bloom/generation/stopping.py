"""Where sequences end."""

import time
from collections.abc import Callable

from ..errors import InputError
from .config import GenerationConfig
from .piece_bytes import PieceBytes
from .rows import Row


class Stopping:
    """Decides whether a row ends with its last piece, and why.

    config (GenerationConfig): The options.
    pieces (PieceBytes | None): The bytes of the pieces, needed for stop strings.
    clock (Callable[[], float]): Seconds; max_time counts from when this object is made.
    RAISES (InputError): There are stop strings, but no bytes of pieces.
    """

    def __init__(
        self,
        config: GenerationConfig,
        *,
        pieces: PieceBytes | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if config.stop_texts and pieces is None:
            raise InputError(
                f"Got stop_strings={list(config.stop_texts)} without a tokenizer: pass tokenizer=... too."
            )
        self._ends = frozenset(config.eos_token_ids)
        self._stops = [text.encode("utf8") for text in config.stop_texts]
        self._pieces = pieces
        self._clock = clock
        self._deadline = None if config.max_time is None else clock() + config.max_time

    def reason(self, row: Row, limit: int) -> str | None:
        """
        row (Row): With at least one generated piece.
        limit (int): The pieces that may be generated.
        RETURNS (str | None): "eos", "stop_string", "length", "time"; None if the row goes on.
        """
        if row.generated[-1] in self._ends:
            return "eos"
        if self._stops and self._has_stop(row):
            return "stop_string"
        if len(row.generated) >= limit:
            return "length"
        if self._deadline is not None and self._clock() >= self._deadline:
            return "time"
        return None

    def _has_stop(self, row: Row) -> bool:
        """Whether a stop string ends in the last piece. The prompt is not searched."""
        assert self._pieces is not None
        last = len(self._pieces[row.generated[-1]])
        if not last:
            return False  # control tokens have no bytes
        needed = max(map(len, self._stops)) - 1 + last
        parts, length = [], 0
        for piece in reversed(row.generated):
            parts.append(self._pieces[piece])
            length += len(parts[-1])
            if length >= needed:
                break
        tail = b"".join(reversed(parts))
        return any(stop in tail[-(len(stop) - 1 + last) :] for stop in self._stops)
