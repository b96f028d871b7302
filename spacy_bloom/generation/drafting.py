"""Drafts of the next pieces: looked up in the row itself, or from a smaller model."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from ..bloom.heads import BloomLanguageModel
from .config import GenerationConfig
from .running import RunningRows


class Drafter(Protocol):
    """Guesses how a row goes on."""

    def add(self, pieces: Sequence[int]) -> None:
        """Append pieces to the row."""
        ...

    def draft(self, limit: int) -> list[int]:
        """RETURNS (list[int]): Up to `limit` pieces that may follow."""
        ...


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


class AssistantDrafts:
    """Lets a smaller model go on greedily.

    model (BloomLanguageModel): The assistant, in evaluation mode; of the same vocabulary.
    config (GenerationConfig): How many pieces, whether that adapts to what was right, and the probability below which a
        draft ends, as the assistant's own config says.
    eos_token_ids (Sequence[int]): A draft ends there.
    SOURCE: https://arxiv.org/abs/2211.17192; schedules as in transformers' AssistedCandidateGenerator.
    """

    def __init__(
        self, model: BloomLanguageModel, config: GenerationConfig, eos_token_ids: Sequence[int]
    ) -> None:
        self.model, self.config, self.ends = model, config, eos_token_ids
        self.most = float(config.num_assistant_tokens)
        self.pieces: list[int] = []
        self._rows: RunningRows | None = None
        self._fed: list[int] = []
        self._drafted = 0

    def add(self, pieces: Sequence[int]) -> None:
        """Append pieces to the row. One more than was right of the last draft."""
        if self._drafted and self.config.num_assistant_tokens_schedule != "constant":
            all_right = len(pieces) > self._drafted
            self.most = self.most + 2 if all_right else max(1.0, self.most - 1)
        self._drafted = 0
        self.pieces += pieces

    def draft(self, limit: int) -> list[int]:
        """RETURNS (list[int]): Up to `limit` pieces that may follow."""
        found: list[int] = []
        limit = min(limit, int(self.most))
        while len(found) < limit:
            probabilities = self.model.lm_head.logits(self._last_state(found))[0].softmax(-1)
            piece = int(probabilities.argmax())
            found.append(piece)
            if piece in self.ends or float(probabilities[piece]) < self.config.assistant_confidence_threshold:
                break
        self._drafted = len(found)
        return found

    def _last_state(self, found: list[int]) -> Tensor:
        """RETURNS (Tensor): Hidden state after the row and what was found. Shape (1, hidden_size)."""
        text = [*self.pieces, *found]
        if self._rows is None:
            self._rows, self._fed = RunningRows(self.model), text
            return self._rows.start([text])
        same = 0
        while same < min(len(text) - 1, len(self._fed)) and text[same] == self._fed[same]:
            same += 1
        self._rows.take_back([len(self._fed) - same])
        self._fed = text
        return self._rows.feed([text[same:]])[:, -1]
