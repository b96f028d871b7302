"""Where in a batch's scores some pieces of each row stand."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def places(pieces: Sequence[Sequence[int] | np.ndarray], device: torch.device) -> tuple[Tensor, Tensor]:
    """An index of scores: some pieces of each row.

    pieces (Sequence[Sequence[int] | np.ndarray]): Those of each row.
    RETURNS (tuple[Tensor, Tensor]): Rows and columns. Shapes (pieces of all rows,).
    """
    columns = [np.asarray(part, dtype=np.int64) for part in pieces]
    rows = np.repeat(np.arange(len(columns)), [len(part) for part in columns])
    flat = np.concatenate([np.empty(0, dtype=np.int64), *columns])
    return torch.from_numpy(rows).to(device), torch.from_numpy(flat).to(device)


def forbid(scores: Tensor, pieces: Sequence[Sequence[int]]) -> Tensor:
    """pieces (Sequence[Sequence[int]]): What must not follow in each row.
    RETURNS (Tensor): The scores with -inf there; overwritten. Shape (rows, vocab_size).
    """
    scores[places(pieces, scores.device)] = -torch.inf
    return scores


def force(scores: Tensor, chosen: Sequence[bool], pieces: Sequence[int]) -> Tensor:
    """Leave only some pieces, all of score 0, in the chosen rows.

    RETURNS (Tensor): The scores, overwritten. Shape (rows, vocab_size).
    """
    rows = torch.tensor(chosen, device=scores.device).nonzero()  # (chosen rows, 1)
    scores[rows[:, 0]] = -torch.inf
    scores[rows, torch.tensor(pieces, device=scores.device)] = 0.0
    return scores
