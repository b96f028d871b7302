"""Pieces that are forbidden or forced depending on the length of a row.

Numerically as in Hugging Face, but each row's own pieces are counted, not the padded batch.
"""

from collections.abc import Callable, Sequence

from torch import Tensor

from ..rows import Row
from .places import forbid, force


class MinLength:
    """Forbids the end while a row, prompt included, is too short.

    min_length (int): Minimum number of pieces before the end.
    eos_token_ids (Sequence[int]): The ends.
    """

    only_forbids = True

    def __init__(self, min_length: int, eos_token_ids: Sequence[int]) -> None:
        self.min_length = min_length
        self.eos_token_ids = list(eos_token_ids)

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """See LogitsProcessor."""
        short = [len(row.prompt) + len(row.generated) < self.min_length for row in rows]
        return forbid(scores, [self.eos_token_ids if is_short else [] for is_short in short])


class MinNewTokens:
    """Forbids the end until enough pieces were added.

    min_new_tokens (int): Minimum number of added pieces before the end.
    eos_token_ids (Sequence[int]): The ends.
    """

    only_forbids = True

    def __init__(self, min_new_tokens: int, eos_token_ids: Sequence[int]) -> None:
        self.min_new_tokens = min_new_tokens
        self.eos_token_ids = list(eos_token_ids)

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """See LogitsProcessor."""
        short = [len(row.generated) < self.min_new_tokens for row in rows]
        return forbid(scores, [self.eos_token_ids if is_short else [] for is_short in short])


class ForcedBos:
    """Forces the first piece to add. See GenerationConfig for the difference to Hugging Face.

    piece (int): Its id.
    """

    def __init__(self, piece: int) -> None:
        self.piece = piece

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """See LogitsProcessor."""
        return force(scores, [not row.generated for row in rows], [self.piece])


class ForcedEos:
    """Forces the last piece that the length allows to be one of the given ones.

    limit (Callable[[int], int]): From the length of a prompt to the number of pieces that may be added.
    pieces (Sequence[int]): Their ids.
    """

    def __init__(self, limit: Callable[[int], int], pieces: Sequence[int]) -> None:
        self.limit = limit
        self.pieces = list(pieces)

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """See LogitsProcessor."""
        last = [len(row.generated) + 1 >= self.limit(len(row.prompt)) for row in rows]
        return force(scores, last, self.pieces)
