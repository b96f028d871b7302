"""Which part of each weight a rank reads and holds."""

from dataclasses import dataclass
from itertools import pairwise

import torch

from ..checkpoint.load import Place
from ..checkpoint.partition import cut_dimension
from ..config import BloomConfig
from ..errors import InputError


@dataclass(frozen=True)
class TensorPlacement:
    """Cuts weights into as many runs as there are ranks, as even as can be: the first ones may have one more.

    rank (int): Whose part.
    n_ranks (int): Number of ranks.
    device (str | torch.device): Where it goes.
    """

    rank: int
    n_ranks: int
    device: str | torch.device = "cpu"

    def __call__(self, name: str, shape: tuple[int, ...]) -> Place:
        """RETURNS (Place): The place of a weight, by its name and full shape."""
        dimension = cut_dimension(name)
        if dimension is None:
            return Place(self.device)
        return Place(self.device, (slice(None),) * dimension + (self.span(shape[dimension]),))

    def span(self, size: int) -> slice:
        """RETURNS (slice): This rank's run of so many rows or columns."""
        return self.spans(size)[self.rank]

    def spans(self, size: int) -> list[slice]:
        """RETURNS (list[slice]): The runs of all ranks."""
        each, more = divmod(size, self.n_ranks)
        starts = [r * each + min(r, more) for r in range(self.n_ranks + 1)]
        return [slice(*ends) for ends in pairwise(starts)]

    def check(self, config: BloomConfig) -> None:
        """RAISES (InputError): The ranks cannot share out whole heads, or have no row of the embedding each."""
        n_head, vocab_size = config.n_head, config.vocab_size
        if n_head % self.n_ranks:
            fitting = [n for n in range(1, n_head + 1) if n_head % n == 0]
            raise InputError(
                f"Expected a number of ranks that divides the model's {n_head} heads "
                f"({', '.join(map(str, fitting))}), got {self.n_ranks}."
            )
        if vocab_size < self.n_ranks:
            raise InputError(
                f"Expected at most one rank per row of the embedding, got {self.n_ranks} ranks for {vocab_size} rows."
            )
