"""The base of all constraints: a state for each row, the pieces that are legal in it, and an end."""

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import InputError
from ..piece_bytes import Ints, PieceBytes
from ..rows import Row

S = TypeVar("S")
MEMO_SIZE = 1024


class StateMemo(Generic[S]):
    """The states of rows, by their generated pieces. It keeps the states that were used last, so that a step only
    advances by one piece.

    start (S): The state before any piece.
    advance (Callable[[S, int], S | None]): The state after one more piece, None if it must not follow. Does not change
        the given state.
    size (int): Number of states to keep.
    """

    def __init__(self, start: S, advance: Callable[[S, int], S | None], *, size: int = MEMO_SIZE) -> None:
        self.size = size
        self._start = start
        self._advance = advance
        self._states: OrderedDict[tuple[int, ...], S | None] = OrderedDict()

    def __call__(self, generated: Sequence[int]) -> S | None:
        """RETURNS (S | None): The state after these pieces, None if one of them is not legal."""
        pieces = tuple(generated)
        known = len(pieces)
        while known and pieces[:known] not in self._states:
            known -= 1
        state = self._states[pieces[:known]] if known else self._start
        for piece in pieces[known:]:
            if state is None:
                break
            state = self._advance(state, piece)
        if pieces:
            self._states[pieces] = state
            self._states.move_to_end(pieces)
        while len(self._states) > self.size:
            self._states.popitem(last=False)
        return state


class Constraint(ABC, Generic[S]):
    """A LogitsProcessor that allows the pieces that continue a legal text, and `</s>` after a complete one.

    At least one piece is always allowed. A row that broke the constraint (beams take pieces of score -inf when there
    are fewer legal pieces than beams), or for which there is no legal text, can only end. If another processor forbade
    all legal pieces, they become equally likely: a constraint overrules the processors before it.

    pieces (PieceBytes): The bytes of the vocabulary's pieces.
    eos_token_id (int): The control token that ends a text.
    start (S): The state before any piece.
    leading_space (bool): Generate a space before the text, as a byte-level vocabulary expects between words. It is
        not part of the text.
    memo_size (int): Number of states to keep, at least twice the number of rows.
    RAISES (InputError): eos_token_id is not a control token.
    """

    def __init__(
        self,
        pieces: PieceBytes,
        eos_token_id: int,
        start: S,
        *,
        leading_space: bool = False,
        memo_size: int = MEMO_SIZE,
    ) -> None:
        if eos_token_id not in pieces.control:
            raise InputError(
                f"Expected eos_token_id to be a control token, one of {sorted(pieces.control)}, "
                f"got {eos_token_id}. A piece of text cannot also end it."
            )
        self.pieces = pieces
        self.eos_token_id = eos_token_id
        self.leading_space = leading_space
        self._states = StateMemo(start, self._advance, size=memo_size)

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """See LogitsProcessor.

        RAISES (InputError): There are fewer scores than pieces.
        """
        if scores.shape[1] < len(self.pieces):
            raise InputError(
                f"Got scores for {scores.shape[1]} pieces, but the vocabulary has {len(self.pieces)}. "
                "Make the constraint with the tokenizer that belongs to the model."
            )
        self._states.size = max(self._states.size, 2 * len(rows))  # the states of this step and the last
        legal = numpy.zeros(tuple(scores.shape), dtype=bool)
        for row, mask in zip(rows, legal, strict=True):
            self._mark(row.generated, mask)
        allowed = torch.from_numpy(legal).to(scores.device)  # (rows, vocab_size)
        scores = scores.masked_fill(~allowed, -torch.inf)
        lost = scores.amax(dim=1, keepdim=True) == -torch.inf  # (rows, 1)
        return torch.where(lost & allowed, -allowed.sum(dim=1, keepdim=True).log(), scores)

    def text_of(self, generated: Sequence[int]) -> str | None:
        """The generated text, without the leading space.

        generated (Sequence[int]): The pieces; what follows `</s>` is ignored.
        RETURNS (str | None): None if it is incomplete, because generation was stopped early.
        """
        pieces = self._before_eos(generated)
        state = self._states(pieces)
        if state is None or not self._may_end(state):
            return None
        text = b"".join(self.pieces[piece] for piece in pieces).decode("utf8", errors="replace")
        return text[1:] if self.leading_space else text

    @abstractmethod
    def _advance(self, state: S, piece: int) -> S | None:
        """RETURNS (S | None): The state after one more piece, None if it must not follow."""

    @abstractmethod
    def _legal(self, state: S, n_generated: int) -> Ints:
        """RETURNS (Ints): The pieces that may follow, without `</s>`. Shape (n,)."""

    @abstractmethod
    def _may_end(self, state: S) -> bool:
        """RETURNS (bool): Whether the text is complete."""

    def _before_eos(self, generated: Sequence[int]) -> Sequence[int]:
        pieces = list(generated)
        return pieces[: pieces.index(self.eos_token_id)] if self.eos_token_id in pieces else pieces

    def _mark(self, generated: Sequence[int], mask: NDArray[numpy.bool_]) -> None:
        """Set the mask of one row, which is false everywhere. Shape (vocab_size,)."""
        state = None if self.eos_token_id in generated else self._states(generated)
        if state is not None:
            mask[self._legal(state, len(generated))] = True
        if state is None or self._may_end(state) or not mask.any():
            mask[self.eos_token_id] = True
