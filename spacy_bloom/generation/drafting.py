"""Drafts of what may come next, looked up in what a row has already."""

from collections.abc import Sequence


class NgramLookup:
    """Finds where a row's last pieces stood before, and what followed them there.

    Texts that quote their prompt are drafted so without a second model.

    longest (int): Longest sequence of last pieces that is looked up; shorter ones if it is not found.
    SOURCE: Saxena 2023, prompt lookup decoding.
    """

    def __init__(self, longest: int) -> None:
        self.longest = longest
        self.pieces: list[int] = []
        # Where the latest occurrence of a sequence ends that something follows.
        self._ends: dict[tuple[int, ...], int] = {}

    def add(self, pieces: Sequence[int]) -> None:
        """Append pieces to the row."""
        for piece in pieces:
            end = len(self.pieces)  # what ends here is followed by the new piece
            for n in range(1, min(self.longest, end) + 1):
                self._ends[tuple(self.pieces[end - n : end])] = end
            self.pieces.append(piece)

    def draft(self, most: int) -> list[int]:
        """RETURNS (list[int]): At most so many pieces that may follow; none if the last piece is new."""
        for n in range(min(self.longest, len(self.pieces)), 0, -1):
            end = self._ends.get(tuple(self.pieces[-n:]))
            if end is not None:
                return self.pieces[end : end + most]
        return []
