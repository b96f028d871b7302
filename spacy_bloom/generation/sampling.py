"""Samples pieces for each row by itself: the result does not depend on other rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError


@dataclass(frozen=True)
class RowSampler:
    """The random numbers of one sequence: a function of seed, sequence and step. There is no state to copy with a row,
    and a step that is computed again draws the same.

    seed (int): Seed of the prompt, from 0 to 2**64 - 1.
    sequence (int): Number of the prompt's sequence, from 0.
    SOURCE: Philox 4x64-10 (Salmon et al., 2011), whose numbers are the same on every platform.
    """

    seed: int
    sequence: int = 0

    def uniforms(self, step: int, draws: int = 1) -> np.ndarray:
        """The numbers of one step. The first ones are the same however many are drawn.

        step (int): Number of pieces generated before.
        draws (int): How many numbers.
        RETURNS (np.ndarray): Numbers in [0, 1). Shape (draws,), float64.
        """
        # Philox counts up within a step; steps begin 2**64 apart.
        bits = np.random.Philox(key=self.seed | self.sequence << 64, counter=step << 64).random_raw(draws)
        return (bits >> np.uint64(11)) * 2.0**-53  # 53 bits are what float64 holds


def row_samplers(seed: int | Sequence[int] | None, prompts: int, sequences: int = 1) -> list[RowSampler]:
    """The samplers of a batch.

    seed (int | Sequence[int] | None): One for all prompts, so that their order does not matter; one per prompt; or None
        for new ones from torch's global generator.
    prompts (int): Number of prompts.
    sequences (int): Sequences per prompt.
    RETURNS (list[RowSampler]): Those of the first prompt, then those of the second, and so on.
    RAISES (InputError): The number of seeds is not the number of prompts.
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
            "With a single seed, each prompt is sampled as if it were alone."
        )
    return [RowSampler(seed, sequence) for seed in seeds for sequence in range(sequences)]


def sample(scores: Tensor, samplers: Sequence[RowSampler], steps: Sequence[int]) -> Tensor:
    """Sample a piece for each row, with one random number.

    scores (Tensor): Logits or log-probabilities, -inf for forbidden pieces. Shape (rows, vocab_size).
    samplers (Sequence[RowSampler]): One for each row.
    steps (Sequence[int]): The number of pieces that each row has generated.
    RETURNS (Tensor): Ids, never of probability 0. Shape (rows,), int64.
    RAISES (InputError): A row has no allowed piece, or NaN scores.
    """
    return sample_distinct(scores, samplers, steps, 1)[:, 0]


def sample_distinct(
    scores: Tensor, samplers: Sequence[RowSampler], steps: Sequence[int], draws: int
) -> Tensor:
    """Sample several different pieces for each row, for beam search with sampling.

    scores, samplers, steps: As for `sample`.
    draws (int): Number of pieces.
    RETURNS (Tensor): Ids in the order of drawing; -1 if no piece of a probability above 0 is left.
        Shape (rows, draws), int64.
    RAISES (InputError): As `sample`.
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
            f"Expected scores with an allowed piece in each row, got none, or NaN, in rows {broken[:20]}."
        )
    drawn = []
    for i in range(draws):
        pieces = invert_cdf(probabilities, u[:, i])
        drawn.append(pieces)
        probabilities.scatter_(1, pieces.clamp(min=0)[:, None], 0.0)
    return torch.stack(drawn, dim=1)


def invert_cdf(probabilities: Tensor, u: Tensor) -> Tensor:
    """The piece at which the cumulative probability exceeds a fraction of the total.

    probabilities (Tensor): 0 or more, of any sum. Shape (rows, vocab_size), float64.
    u (Tensor): The fraction, in [0, 1). Shape (rows,), float64.
    RETURNS (Tensor): Ids, never of probability 0; -1 where all are 0. Shape (rows,), int64.
    """
    # Parallel sums, as on a GPU, can fall by a rounding error and rise again at a piece of probability 0. Here they
    # rise at other pieces only, so that the first to exceed the target is one of those.
    sums = probabilities.cumsum(-1).masked_fill_(probabilities <= 0, 0.0).cummax(-1)[0]
    total = sums[:, -1:]  # (rows, 1)
    target = torch.minimum(u[:, None] * total, total.nextafter(torch.zeros_like(total)))
    pieces = torch.searchsorted(sums, target, right=True)  # (rows, 1)
    return pieces.masked_fill_(total <= 0, -1)[:, 0]
