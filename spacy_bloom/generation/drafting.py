"""Drafts of the next pieces, looked up in the row itself."""

from collections.abc import Sequence


class NgramLookup:
    """Finds an earlier occurrence of a row's last pieces, and what followed it.

    Texts that quote their prompt are drafted this way without a second model.

    longest (int): Longest sequence of last pieces to look up; shorter ones are tried if it is not found.
    SOURCE: Saxena 2023, prompt lookup decoding.
    """

    def __init__(self, longest: int) -> None:
        self.longest = longest
        self.pieces: list[int] = []
        # Where the latest occurrence of a sequence ends that is followed by something.
        self._ends: dict[tuple[int, ...], int] = {}

    def add(self, pieces: Sequence[int]) -> None:
        """Append pieces to the row."""
        for piece in pieces:
            end = len(self.pieces)  # what ends here is followed by the new piece
            for n in range(1, min(self.longest, end) + 1):
                self._ends[tuple(self.pieces[end - n : end])] = end
            self.pieces.append(piece)

    def draft(self, limit: int) -> list[int]:
        """RETURNS (list[int]): Up to `limit` pieces that may follow; none if the last piece is new."""
        for n in range(min(self.longest, len(self.pieces)), 0, -1):
            end = self._ends.get(tuple(self.pieces[-n:]))
            if end is not None:
                return self.pieces[end : end + limit]
        return []
