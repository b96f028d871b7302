"""The ranks of a run share out the batches of a step and of an evaluation; the first one writes."""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import torch
import torch.distributed as dist
from torch.optim import Optimizer

from ..data import Batch
from ..engine import Engine, seed_batch
from ..state import Progress
from .model import ShardedLM
from .muon import ShardedMuon
from .state import load_folder, save_folder


class ShardedRanks(Engine):
    """A model divided among ranks, each of which computes some of the batches.

    All take part in every pass, since it takes all to gather the weights. Where batches do not go round, some compute
    one again, for nothing.

    sharded (ShardedLM): The model.
    """

    muon = ShardedMuon

    def __init__(self, sharded: ShardedLM) -> None:
        self.sharded, self.model = sharded, sharded.model
        self.rank, self.n_ranks = dist.get_rank(), dist.get_world_size()
        self.is_first = self.rank == 0

    def learn(self, batches: Sequence[tuple[Batch, float]], *, bidirectional_layers: int, seed: int) -> float:
        """See Engine."""
        loss = 0.0
        for number, (batch, share), counts in self._own(batches):
            seed_batch(seed, number)
            part = self.sharded.loss(batch.to(self.model.device), bidirectional_layers) * (share * counts)
            part.backward()
            loss += part.item()
        return self._sum(loss)[0]

    @torch.no_grad()
    def bits(self, batches: Iterable[Batch], *, bidirectional_layers: int) -> float:
        """See Engine."""
        total = 0.0
        for _, batch, counts in self._own(batches):
            nll = self.sharded.nll(batch.to(self.model.device), bidirectional_layers)
            total += counts * nll.double().sum().item() / math.log(2)
        self.sharded.release()
        return self._sum(total)[0]

    def agree(self, minutes: float, stopping: bool) -> tuple[float, bool]:
        """See Engine. The minutes are the first rank's; any rank that was told to stop stops all."""
        minutes, stops = self._sum(minutes if self.is_first else 0.0, float(stopping))
        return minutes, stops > 0

    def save(self, output: Path, optimizers: Sequence[Optimizer], progress: Progress) -> None:
        """See Engine."""
        save_folder(output, self.model, optimizers, progress)

    def load(self, path: Path, optimizers: Sequence[Optimizer]) -> Progress:
        """See Engine."""
        return load_folder(path, self.model, optimizers)

    def save_checkpoint(self, path: Path, *, dtype: str) -> None:
        """See Engine. Weights come together one by one, and are held by the first rank until their file is full."""
        if self.is_first:
            self.model.save_pretrained(path, dtype=dtype)
        else:
            for value in self.model.parameters():  # in the order in which the first rank writes them
                value.full_tensor()  # type: ignore[attr-defined]

    def _own(self, items: Iterable) -> Iterator[tuple]:
        """YIELDS (tuple): Number and item of each turn of this rank, and 1, or 0 if it is another's."""
        turns, number = iter(items), 0
        while turn := list(islice(turns, self.n_ranks)):
            place = self.rank if self.rank < len(turn) else 0
            yield number + place, turn[place], int(place == self.rank)
            number += len(turn)

    def _sum(self, *values: float) -> list[float]:
        """RETURNS (list[float]): Sums over the ranks."""
        sums = torch.tensor(values, dtype=torch.float64, device=self.model.device)
        dist.all_reduce(sums)
        return sums.tolist()
