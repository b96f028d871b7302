"""Masked next-piece prediction, which prepares a causal language model for attention to both sides."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..bloom.losses import IGNORED_LABEL
from ..errors import ConfigError
from .data import Batch


@dataclass(frozen=True)
class Masking:
    """Replaces pieces by `<unk>` and predicts each from the hidden state before it, which was trained to predict the
    next piece.

    SOURCE: BehnamGhader et al. 2024 (LLM2Vec, arXiv 2404.05961). They mask 80% of the chosen pieces; we mask
    all of them (Wettig et al. 2023, arXiv 2202.08005, found no gain in the rest).

    mask_id (int): Id of `<unk>`, which BLOOM's tokenizer never gives.
    rate (float): Part of the pieces to mask.
    bidirectional_layers (int): See `BloomModel.encode_packed`.
    RAISES (ConfigError): A rate that leaves nothing to predict, or nothing to predict it from.
    """

    mask_id: int
    rate: float
    bidirectional_layers: int

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise ConfigError(f"training.mask_rate is {self.rate}; it must be between 0 and 1.")

    def draw(self, batch: Batch) -> Batch:
        """RETURNS (Batch): With pieces masked by torch's random generator, at least one in each sequence."""

        def choose(length: int) -> Tensor:
            chosen = torch.rand(length) < self.rate
            if not chosen.any():
                chosen[torch.randint(length, ())] = True
            return chosen

        return self._mask(batch, choose)

    def turns(self, batch: Batch) -> Iterator[Batch]:
        """YIELDS (Batch): 1 / rate copies, each with other pieces masked at that interval, so that every piece is
        predicted in exactly one of them.
        """
        number = max(round(1 / self.rate), 1)
        for turn in range(number):

            def choose(length: int, turn: int = turn) -> Tensor:
                return torch.arange(length) % number == turn

            yield self._mask(batch, choose)

    def _mask(self, batch: Batch, choose: Callable[[int], Tensor]) -> Batch:
        """choose (Callable): From the number of pieces after a sequence's first to which of them are masked."""
        ids, labels, lengths = [], [], []
        parts = (x.split(batch.lengths) for x in (batch.input_ids, batch.labels))
        for own, following in zip(*parts, strict=True):
            masked = choose(len(following))
            # What a causal model need not read, the last piece, is context here, or masked.
            ids.append(torch.cat((own[:1], following.masked_fill(masked, self.mask_id))))
            labels.append(
                torch.cat(
                    (following.masked_fill(~masked, IGNORED_LABEL), following.new_tensor([IGNORED_LABEL]))
                )
            )
            lengths.append(len(following) + 1)
        return Batch(torch.cat(ids), torch.cat(labels), lengths)
