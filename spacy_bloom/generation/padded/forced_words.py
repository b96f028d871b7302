"""Words that must be generated, and how far a row has come with them."""

from collections.abc import Sequence
from typing import Any

from typing_extensions import Self

from ...errors import InputError
from ..config import GenerationConfig


class ForcedWord:
    """A sequence of pieces, or one of several.

    words (Sequence[Sequence[int]]): The sequences; none begins another.
    seqlen (int): Length of the longest one.
    completed (bool): Whether one of them is there.
    RAISES (InputError): One begins another: it would never be known which is meant.
    SOURCE: transformers' Constraint, in names: the caller's may be of those classes.
    """

    def __init__(self, words: Sequence[Sequence[int]]) -> None:
        self.words = [tuple(word) for word in words]
        for word in self.words:
            if any(word is not other and other[: len(word)] == word for other in self.words):
                raise InputError(
                    f"Expected forced words of which none begins another, got {list(word)} among {words}."
                )
        self.seqlen = max(map(len, self.words))
        self.completed = False
        self._so_far: tuple[int, ...] = ()

    def advance(self) -> list[int]:
        """RETURNS (list[int]): The pieces that may come next."""
        n = len(self._so_far)
        following = [word[n] for word in self.words if word[:n] == self._so_far and len(word) > n]
        return list(dict.fromkeys(following))

    def does_advance(self, token_id: int) -> bool:
        """RETURNS (bool): Whether this piece is one of them."""
        return token_id in self.advance()

    def update(self, token_id: int) -> tuple[bool, bool, bool]:
        """RETURNS (tuple[bool, bool, bool]): Whether the piece was one of them, completed a word, began all anew."""
        stepped = self.does_advance(token_id)
        self._so_far = (*self._so_far, token_id) if stepped else ()
        self.completed = stepped and not self.advance()
        return stepped, self.completed, not stepped

    def remaining(self) -> int:
        """RETURNS (int): Pieces of the longest word that are missing."""
        return 0 if self.completed else self.seqlen - len(self._so_far)

    def copy(self, stateful: bool = False) -> Self:
        """stateful (bool): As far as this one; else from the start."""
        new = type(self)(self.words)
        if stateful:
            new.completed, new._so_far = self.completed, self._so_far
        return new


class Progress:
    """How far a row has come with all forced words. One at a time is begun.

    words (Sequence[ForcedWord]): The words, from the start.
    pieces (Sequence[int]): The row.
    """

    def __init__(self, words: Sequence[Any], pieces: Sequence[int]) -> None:
        self.complete = 0
        self.begun: Any = None
        self.pending = [word.copy(stateful=False) for word in words]
        self.longest = max(word.seqlen for word in words)
        for piece in pieces:
            if self.all_there:
                break
            self._add(piece)

    @property
    def all_there(self) -> bool:
        """RETURNS (bool): Whether nothing is missing."""
        return not self.pending and self.begun is None

    @property
    def bank(self) -> int:
        """RETURNS (int): How far: rows of the same bank compete."""
        begun = 0 if self.begun is None else self.longest - self.begun.remaining()
        return self.complete * self.longest + begun

    def advance(self) -> list[int]:
        """RETURNS (list[int]): The pieces that bring the row further."""
        found: list[int] = []
        for word in self.pending if self.begun is None else [self.begun]:
            pieces = word.advance()
            found += [pieces] if isinstance(pieces, int) else pieces or []
        return found

    def _add(self, piece: int) -> None:
        if self.begun is not None:
            _, done, lost = self.begun.update(piece)
            if lost:
                self.pending.append(self.begun.copy(stateful=False))
            if lost or done:
                self.complete += done and not lost
                self.begun = None
            return
        for i, word in enumerate(self.pending):
            if word.does_advance(piece):
                _, done, _ = word.update(piece)
                self.complete += done
                self.begun = None if done else word
                del self.pending[i]
                return


def forced_words(config: GenerationConfig) -> list[Any]:
    """RETURNS (list): The words that a config forces: its constraints as they are, then force_words_ids."""
    words = list(config.constraints or ())
    for word in config.force_words_ids or ():
        words.append(ForcedWord(word if isinstance(word[0], (list, tuple)) else [word]))
    return words
