"""Shards annotated by all ranks of a run together, each of which has a part of the pipeline's models."""

import os
from contextlib import suppress
from typing import Any, Callable, Dict

from ..errors import RankError
from ..parallel.ranks import from_first
from .annotator import ShardAnnotator
from .engines import InProcess, Outcome, outcome_of
from .shards import Shard


class LockStep(InProcess):
    """The first rank's engine: it tells the others which shard is next, and takes part. It cannot be renewed."""

    def start(self, pipeline: str, options: Dict[str, Any]) -> None:
        """See Engine."""
        from_first((pipeline, options))
        self._annotate = make_annotator(pipeline, options)
        self._outcome = None

    def begin(self, worker: int, shard: Shard) -> None:
        """See Engine.
        RAISES (RankError): Another rank is gone: nothing can be annotated any more.
        """
        self._outcome = annotate_together(self._annotate, from_first(shard))

    def close(self) -> None:
        """See Engine."""
        with suppress(RankError):  # of a run that is over already
            from_first(None)


def follow_first() -> None:
    """What the other ranks do: the same as the first one, shard by shard.

    RAISES (RankError): Another rank is gone.
    """
    annotate = make_annotator(*from_first(("", {})))
    while (shard := from_first(None)) is not None:
        annotate_together(annotate, shard)


def make_annotator(pipeline: str, options: Dict[str, Any]) -> ShardAnnotator:
    """RETURNS (ShardAnnotator): This rank's, on its own GPU if the run has some."""
    own = {"gpu_id": int(os.environ.get("LOCAL_RANK", 0))} if "gpu_id" in options else {}
    return ShardAnnotator(pipeline, **{**options, **own})


def annotate_together(annotate: Callable[[Shard], bytes], shard: Shard) -> Outcome:
    """RETURNS (bytes | Exception): As `outcome_of`. RAISES (RankError): Another rank is gone."""
    outcome = outcome_of(annotate, shard)
    if isinstance(outcome, RankError):
        raise outcome
    return outcome
