"""What a training run does with its model: in one process here, on several ranks in `sharded/`."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch.optim import Optimizer

from ..bloom.heads import BloomLanguageModel
from .data import Batch
from .evaluation import bits_of
from .gradients import add_gradients
from .optimizers import Muon
from .sharded.state import load_folder
from .state import Progress, keep_only, load_state, save_state, state_path

# Between the seeds of a step's batches: further apart than seeds and numbers of steps, also after 32 bits, of which the
# generator takes no more. SOURCE: Knuth's multiplicative hashing, 2**32 divided by the golden ratio.
SEED_STRIDE = 2654435769


class Engine(Protocol):
    """How a step's batches become gradients, and who decides and writes.

    is_first (bool): Whether this process writes the files of the run.
    muon (type[Muon]): The optimizer for matrices.
    """

    is_first: bool
    muon: type[Muon]

    def learn(self, batches: Sequence[tuple[Batch, float]], *, bidirectional_layers: int, seed: int) -> float:
        """Add the gradients of a step's batches to those of the weights.

        batches (Sequence[tuple[Batch, float]]): Each with its share of the loss.
        bidirectional_layers (int): See `BloomModel.encode_packed`.
        seed (int): Of the step; batches after the first have seeds of their own, so that it does not matter who
            computes them.
        RETURNS (float): The loss of all, in nats.
        """

    def bits(self, batches: Iterable[Batch], *, bidirectional_layers: int) -> float:
        """RETURNS (float): Negative log2 probability of all labels of all batches."""

    def agree(self, minutes: float, stopping: bool) -> tuple[float, bool]:
        """RETURNS (tuple[float, bool]): Minutes that the run has taken, and whether it is to stop, for all alike."""

    def save(self, output: Path, optimizers: Sequence[Optimizer], progress: Progress) -> None:
        """Write the state of a run into its output directory, in place of an older one."""

    def load(self, path: Path, optimizers: Sequence[Optimizer]) -> Progress:
        """RETURNS (Progress): The position of the run whose state was restored."""

    def save_checkpoint(self, path: Path, *, dtype: str) -> None:
        """Write the model in the Hugging Face layout."""


class OneProcess(Engine):
    """A whole model in one process.

    model (BloomLanguageModel): The model.
    """

    is_first = True
    muon = Muon

    def __init__(self, model: BloomLanguageModel) -> None:
        self.model = model

    def learn(self, batches: Sequence[tuple[Batch, float]], *, bidirectional_layers: int, seed: int) -> float:
        """See Engine."""
        loss = 0.0
        for number, (batch, share) in enumerate(batches):
            seed_batch(seed, number)
            batch = batch.to(self.model.device)
            loss += add_gradients(
                self.model,
                batch.input_ids,
                batch.labels,
                batch.lengths,
                share,
                bidirectional_layers=bidirectional_layers,
            )
        return loss

    def bits(self, batches: Iterable[Batch], *, bidirectional_layers: int) -> float:
        """See Engine."""
        return sum(bits_of(self.model, batch, bidirectional_layers) for batch in batches)

    def agree(self, minutes: float, stopping: bool) -> tuple[float, bool]:
        """See Engine."""
        return minutes, stopping

    def save(self, output: Path, optimizers: Sequence[Optimizer], progress: Progress) -> None:
        """See Engine."""
        save_state(state_path(output), self.model, optimizers, progress)
        keep_only(output, state_path(output))

    def load(self, path: Path, optimizers: Sequence[Optimizer]) -> Progress:
        """See Engine."""
        return (load_folder if path.is_dir() else load_state)(path, self.model, optimizers)

    def save_checkpoint(self, path: Path, *, dtype: str) -> None:
        """See Engine."""
        self.model.save_pretrained(path, dtype=dtype)


def seed_batch(seed: int, number: int) -> None:
    """Seed what a batch draws. The first one goes on with the step's numbers, after those of the masks."""
    if number:
        torch.manual_seed((seed + number * SEED_STRIDE) % 2**32)
