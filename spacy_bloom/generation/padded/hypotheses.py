"""Finished sequences of beams, and the choice of what goes on: for groups of beams and for forced words."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...errors import InputError
from ..config import GenerationConfig


@dataclass
class Hypotheses:
    """The best finished sequences of a prompt, or of one group of its beams.

    config (GenerationConfig): The options.
    size (int): How many are kept.
    limit (int): How many pieces may be added.
    kept (list[tuple]): Score, ids, and the rows that the added pieces were taken from.
    done (bool): Whether no better one is expected.
    """

    config: GenerationConfig
    size: int
    limit: int
    kept: list[tuple[float, Tensor, list[int]]] = field(default_factory=list)
    done: bool = False

    def add(self, ids: Tensor, score: float, n: int, origins: Sequence[int]) -> None:
        """score (float): Log-probability. n (int): Number of added pieces, the end included."""
        score /= n**self.config.length_penalty
        if len(self.kept) < self.size or score > self._worst():
            self.kept.append((score, ids, list(origins)))
            if len(self.kept) > self.size:
                del self.kept[min(range(len(self.kept)), key=lambda i: self.kept[i][0])]

    def look(self, best: float, n: int) -> None:
        """Decide whether this is done. best (float): The best log-probability of any that may go on."""
        if self.done or len(self.kept) < self.size:
            return
        if self.config.early_stopping is True:
            self.done = True
            return
        longest = self.config.early_stopping == "never" and self.config.length_penalty > 0
        self.done = self._worst() >= best / (self.limit if longest else n) ** self.config.length_penalty

    def _worst(self) -> float:
        return min(score for score, _, _ in self.kept)


@dataclass
class Chosen:
    """What goes on: for each beam its piece, log-probability, and the row that it continues."""

    pieces: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)


def choose(
    hypotheses: Hypotheses,
    total: Tensor,
    ids: Tensor,
    rows: Sequence[int],
    n: int,
    origins: Sequence[list[int]],
    may_end: Callable[[Tensor], bool] = lambda ids: True,
) -> Chosen:
    """Choose the continuations of a prompt's beams, or of a group of them.

    hypotheses (Hypotheses): Gets those that end.
    total (Tensor): Log-probabilities of the beams with each piece. Shape (beams, vocab_size).
    ids (Tensor): All rows. Shape (all rows, length).
    rows (Sequence[int]): The places of these beams.
    n (int): Number of added pieces, this one included.
    origins (Sequence[list[int]]): Of all rows, where their pieces come from.
    may_end (Callable[[Tensor], bool]): Whether a row is complete.
    RETURNS (Chosen): As many as there are beams.
    """
    size, vocab_size = total.shape
    ends = hypotheses.config.eos_token_ids
    count = min(max(2, 1 + len(ends)) * size, total.numel())
    scores, places = (x.tolist() for x in total.flatten().topk(count))
    chosen = Chosen()
    for rank, (score, place) in enumerate(zip(scores, places, strict=True)):
        row, piece = rows[place // vocab_size], place % vocab_size
        if piece in ends:
            if rank < size and may_end(ids[row]):
                hypotheses.add(ids[row].clone(), score, n, [*origins[row], row])
            continue
        chosen.pieces.append(piece)
        chosen.scores.append(score)
        chosen.rows.append(row)
        if len(chosen.pieces) == size:
            break
    if len(chosen.pieces) < size:
        raise InputError(
            f"Expected {size} pieces that do not end a text, got {len(chosen.pieces)}; the rest are ends."
        )
    return chosen


def best_of(
    hypotheses: Sequence[Hypotheses], ids: Tensor, fill: int, longest: int
) -> tuple[Tensor, Tensor, Tensor]:
    """
    hypotheses (Sequence[Hypotheses]): As many for each prompt, of which num_return_sequences are taken in all.
    ids (Tensor): Any rows of the call, for their dtype and device.
    fill (int): Follows the end.
    longest (int): Maximum length of a sequence.
    RETURNS (tuple[Tensor, Tensor, Tensor]): Sequences with their ends, scores, origins (-1 where there is no piece).
        Shapes (rows, length), (rows,), (rows, length).
    """
    config = hypotheses[0].config
    per_prompt = config.num_beam_groups
    found: list[tuple[float, Tensor, list[int]]] = []
    for i in range(0, len(hypotheses), per_prompt):
        kept = [one for group in hypotheses[i : i + per_prompt] for one in group.kept]
        # Of equal ones the last, as there.
        found += sorted(kept, key=lambda one: one[0])[::-1][: config.num_return_sequences]
    length = min(max(len(one) for _, one, _ in found) + 1, longest)
    sequences = ids.new_full((len(found), length), fill)
    origins = torch.full((len(found), length), -1, dtype=torch.long, device=ids.device)
    for i, (_, one, places) in enumerate(found):
        sequences[i, : len(one)] = one
        origins[i, : len(places)] = torch.tensor(places, dtype=torch.long)
        if len(one) < length and config.eos_token_ids:
            sequences[i, len(one)] = config.eos_token_ids[0]
    scores = torch.tensor([score for score, _, _ in found], device=ids.device)
    return sequences, scores, origins
