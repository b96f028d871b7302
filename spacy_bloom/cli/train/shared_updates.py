"""`spacy train` on several ranks: they share out the sub-batches of each step, and take the same steps.

Every rank has the pipeline, the optimizer and the corpus. The sum of gradients is that of one process with the same
accumulate_gradient, up to rounding.
"""

import random
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import numpy
import torch
import torch.distributed as dist
from spacy.language import Language
from spacy.training import Example, loop
from thinc.api import fix_random_seed

from ...parallel.ranks import from_first, n_ranks, rank
from .gradient_sums import add_up, check_alike, weights_of

# Between the seeds of sub-batches, as in pretraining.
SEED_STRIDE = 2654435769
Loop = Callable[..., Iterator[tuple]]


@contextmanager
def sharing_updates(seed: int) -> Iterator[None]:
    """Inside, spaCy's training loop shares out its updates, and all ranks follow the first one's evaluations.

    seed (int): For what a sub-batch draws: its seed depends on step and number alone, so that it does not matter which
        rank has it.
    """
    original = loop.train_while_improving
    loop.train_while_improving = _shared(original, seed)
    try:
        yield
    finally:
        loop.train_while_improving = original


def _shared(original: Loop, seed: int) -> Loop:
    def train_while_improving(
        nlp: Language,
        optimizer: Any,
        batches: Any,
        evaluate: Callable[[], tuple],
        *,
        accumulate_gradient: int,
        before_update: Callable | None,
        **options: Any,
    ) -> Iterator[tuple]:
        check_alike(checksum(nlp), "start from different weights or labels")
        shared: Any = SharedPipeline(nlp, accumulate_gradient, seed)
        return original(
            shared,
            optimizer,
            batches,
            lambda: _of_first(evaluate),
            accumulate_gradient=1,
            before_update=None if before_update is None else lambda _, args: before_update(nlp, args),
            **options,
        )

    return train_while_improving


class SharedPipeline:
    """What spaCy's training loop sees of a pipeline: an update is of a whole batch, of which this rank has its part.

    nlp (Language): The pipeline.
    accumulate_gradient (int): Sub-batches of a batch.
    seed (int): See `sharing_updates`.
    """

    def __init__(self, nlp: Language, accumulate_gradient: int, seed: int) -> None:
        self._nlp, self._n_parts, self._seed = nlp, accumulate_gradient, seed
        self._step = 0

    @property
    def pipeline(self) -> list:
        """RETURNS (list): The pipeline's own."""
        return self._nlp.pipeline

    def use_params(self, params: dict | None) -> Any:
        """RETURNS (ContextManager): The pipeline's own."""
        return self._nlp.use_params(params)

    def update(
        self,
        examples: list[Example],
        *,
        losses: dict[str, float],
        exclude: Collection[str] = (),
        **options: Any,
    ) -> dict[str, float]:
        """Learn from this rank's sub-batches, and add up what all have learnt. Arguments as for `nlp.update`."""
        parts = list(loop.subdivide_batch(examples, self._n_parts))
        own: dict[str, float] = {}
        with _keeping_random_states():
            for number in range(rank(), len(parts), n_ranks()):
                self._learn(parts[number], number, losses=own, exclude=exclude, **options)
            if rank() >= len(parts):
                # The first update of a run may change what there is to learn; what comes of this one is another's.
                self._learn(parts[0], 0, losses={}, exclude=exclude, **options)
                for weight in weights_of(self._nlp, exclude):
                    weight.forget()
        self._step += 1
        add_up(weights_of(self._nlp, exclude), zlib.crc32("\0".join(eg.text for eg in examples).encode()))
        for name, loss in _sums(own).items():
            losses[name] = losses.get(name, 0.0) + loss
        return losses

    def _learn(self, part: list[Example], number: int, **options: Any) -> None:
        """number (int): Of the sub-batch in its batch."""
        fix_random_seed((self._seed + self._step * 1_000_003 + number * SEED_STRIDE) % 2**32)
        self._nlp.update(part, **options)


def checksum(nlp: Language) -> int:
    """RETURNS (int): Of the weights and labels of a pipeline, 32 bits."""
    total = zlib.crc32(repr([(name, getattr(pipe, "labels", ())) for name, pipe in nlp.pipeline]).encode())
    for weight in weights_of(nlp):
        data = weight.data.detach().cpu().contiguous()
        numbers: Any = data.flatten().view(torch.uint8).numpy()
        total = zlib.crc32(numbers, total)
    return total


def _of_first(evaluate: Callable[[], tuple]) -> tuple:
    """RETURNS (tuple): What the first rank's evaluation finds. What it has drawn, the others have drawn too."""
    found: Any = evaluate() if rank() == 0 else None
    mine: Any = (found, random.getstate(), numpy.random.get_state())
    scores, pythons, numpys = from_first(mine)
    random.setstate(pythons)
    numpy.random.set_state(numpys)
    return scores


def _sums(losses: dict[str, float]) -> dict[str, float]:
    """RETURNS (dict[str, float]): Over the ranks, each of which may have losses of its own names."""
    held: list[Any] = [None] * n_ranks()
    dist.all_gather_object(held, {name: float(loss) for name, loss in losses.items()})
    return {name: sum(part.get(name, 0.0) for part in held) for part in held for name in part}


@contextmanager
def _keeping_random_states() -> Iterator[None]:
    """What is drawn inside does not change what is drawn after it, the order of the next epoch for instance."""
    states = random.getstate(), numpy.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        numpy.random.set_state(states[1])
        torch.set_rng_state(states[2])
