"""Drawing pieces by their probability, each row by itself: what a row draws does not depend on its neighbours."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError


@dataclass(frozen=True)
class RowSampler:
    """The random numbers of one sequence: a function of seed, sequence and step, so there is no state that would
    have to be copied with a row, and a step that is computed again draws the same.

    seed (int): Of the prompt, from 0 to 2**64 - 1.
    sequence (int): Which of the sequences returned for the prompt, from 0.
    SOURCE: Philox 4x64-10 (Salmon et al., 2011), whose numbers are the same on every platform.
    """

    seed: int
    sequence: int = 0

    def uniforms(self, step: int, draws: int = 1) -> np.ndarray:
        """The numbers of one step. They are the same however many are taken.

        step (int): Number of pieces generated before.
        draws (int): How many.
        RETURNS (np.ndarray): From 0, below 1. Shape (draws,), float64.
        """
        # Philox counts up within a step; steps begin 2**64 apart.
        bits = np.random.Philox(key=self.seed | self.sequence << 64, counter=step << 64).random_raw(draws)
        return (bits >> np.uint64(11)) * 2.0**-53  # 53 bits are what float64 holds


def row_samplers(seed: int | Sequence[int] | None, prompts: int, sequences: int = 1) -> list[RowSampler]:
    """The samplers of a batch.

    seed (int | Sequence[int] | None): One for each prompt; the same for all, so that what is drawn for a prompt
        does not depend on where it stands; or None for new ones, drawn at once from torch's global generator.
    prompts (int): Number of prompts.
    sequences (int): Sequences per prompt.
    RETURNS (list[RowSampler]): All of the first prompt, then all of the second.
    RAISES (InputError): There are more or fewer seeds than prompts.
    """
    if seed is None:
        seeds = torch.randint(2**63 - 1, (prompts,)).tolist()
    elif isinstance(seed, int):
        seeds = [seed] * prompts
    else:
        seeds = list(seed)
    if len(seeds) != prompts:
        raise InputError(
            f"Expected one seed, or one for each of {prompts} prompts, got {len(seeds)} seeds. "
            "With one, each prompt draws as if it were alone."
        )
    return [RowSampler(seed, sequence) for seed in seeds for sequence in range(sequences)]


def sample(scores: Tensor, samplers: Sequence[RowSampler], steps: Sequence[int]) -> Tensor:
    """Draw a piece for each row, with one random number.

    scores (Tensor): Logits or log-probabilities, -inf for what must not follow. Shape (rows, vocab_size).
    samplers (Sequence[RowSampler]): Of each row.
    steps (Sequence[int]): The pieces that each row has generated before.
    RETURNS (Tensor): Ids; never one of probability 0. Shape (rows,), int64.
    RAISES (InputError): A row has no piece to draw, or scores that are NaN.
    """
    return sample_distinct(scores, samplers, steps, 1)[:, 0]


def sample_distinct(
    scores: Tensor, samplers: Sequence[RowSampler], steps: Sequence[int], draws: int
) -> Tensor:
    """Draw several pieces for each row, each at most once, as beam search does that draws.

    draws (int): How many.
    RETURNS (Tensor): Ids in the order of drawing; -1 where no piece is left whose probability is above 0.
        Shape (rows, draws), int64.
    RAISES (InputError): As `sample`, whose other arguments these are.
    """
    uniforms = np.stack(
        [sampler.uniforms(step, draws) for sampler, step in zip(samplers, steps, strict=True)]
    )
    u = torch.from_numpy(uniforms).to(scores.device)  # (rows, draws)
    probabilities = scores.double().softmax(dim=-1)  # (rows, vocab_size)
    broken = (
        probabilities[:, 0].isnan().nonzero()[:, 0].tolist()
    )  # a NaN, or all -inf, makes all of a row NaN
    if broken:
        raise InputError(
            f"Expected scores with a piece that may follow in each row, got none, or NaN, in rows {broken[:20]}."
        )
    drawn = []
    for i in range(draws):
        pieces = invert_cdf(probabilities, u[:, i])
        drawn.append(pieces)
        probabilities.scatter_(1, pieces.clamp(min=0)[:, None], 0.0)
    return torch.stack(drawn, dim=1)


def invert_cdf(probabilities: Tensor, u: Tensor) -> Tensor:
    """The piece at which the sum of probabilities, from the first piece on, exceeds a part of the whole.

    probabilities (Tensor): 0 or above, of any sum. Shape (rows, vocab_size), float64.
    u (Tensor): The part, from 0, below 1. Shape (rows,), float64.
    RETURNS (Tensor): Ids, never of probability 0; -1 where all are 0. Shape (rows,), int64.
    """
    # Sums in parallel, as on a GPU, can fall by a rounding error and rise again at a piece of probability 0.
    # Here they rise at others only, so that the first to exceed the target is one of those.
    sums = probabilities.cumsum(-1).masked_fill_(probabilities <= 0, 0.0).cummax(-1)[0]
    total = sums[:, -1:]  # (rows, 1)
    target = torch.minimum(u[:, None] * total, total.nextafter(torch.zeros_like(total)))
    pieces = torch.searchsorted(sums, target, right=True)  # (rows, 1)
    return pieces.masked_fill_(total <= 0, -1)[:, 0]
