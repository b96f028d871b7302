"""Shards on a Ray cluster, of this machine or of several."""

import logging
import os
from typing import Any, Dict, List, Optional, Tuple

from ..errors import InputError, RankError
from .annotator import ShardAnnotator
from .engines import Outcome, outcome_of
from .shards import Shard


class RayActors:
    """Actors of Ray. They send their results back, so that only this process needs the output folder; the pipeline must
    be found under the same path, or as a package, where they run.

    n_workers (int): Number of actors.
    address (str | None): Of a cluster, "auto" for the one this machine belongs to; None starts one here.
    gpus (float): GPUs for each actor, also parts of one.
    RAISES (InputError): ray is not installed.
    """

    can_renew = True

    def __init__(self, n_workers: int, *, address: Optional[str] = None, gpus: float = 0.0) -> None:
        try:
            import ray
        except ImportError:
            raise InputError("Expected ray to be installed. Run `pip install spacy-bloom[ray]`.") from None
        self.n_workers = n_workers
        self.address = address
        self.gpus = gpus
        self._ray = ray
        self._actors: List[Any] = []
        self._waiting: Dict[Any, int] = {}

    def start(self, pipeline: str, options: Dict[str, Any]) -> None:
        self._ours = not self._ray.is_initialized()
        if self._ours:
            cluster: Dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
            if self.address is None:
                cluster |= {"num_cpus": self.n_workers, "include_dashboard": False}
            self._ray.init(address=self.address, **cluster)
        self._made_with = (pipeline, {"n_threads": 1, "gpu_id": 0 if self.gpus else -1, **options})
        self._actors = [self._make() for _ in range(self.n_workers)]

    def begin(self, worker: int, shard: Shard) -> None:
        self._waiting[self._actors[worker].run.remote(shard)] = worker

    def wait(self, seconds: Optional[float]) -> List[Tuple[int, Outcome]]:
        if not self._waiting:
            return []
        ready, _ = self._ray.wait(list(self._waiting), num_returns=1, timeout=seconds)
        return [(self._waiting[one], self._outcome(one)) for one in ready]

    def renew(self, worker: int) -> None:
        self._ray.kill(self._actors[worker])
        self._waiting = {one: other for one, other in self._waiting.items() if other != worker}
        self._actors[worker] = self._make()

    def close(self) -> None:
        for actor in self._actors:
            self._ray.kill(actor)
        self._actors, self._waiting = [], {}
        if self._ours:
            self._ray.shutdown()

    def _make(self) -> Any:
        # Nothing is tried again by Ray: it would try a shard that ends its process for ever.
        actor = self._ray.remote(num_cpus=1, num_gpus=self.gpus, max_restarts=0, max_task_retries=0)(_Actor)
        return actor.remote(*self._made_with)

    def _outcome(self, one: Any) -> Outcome:
        try:
            outcome: Outcome = self._ray.get(one)
            del self._waiting[one]
        except self._ray.exceptions.RayError as error:
            outcome = RankError(f"its actor is gone ({str(error).splitlines()[0][:200]})")
            self.renew(self._waiting[one])
        return outcome


class _Actor:
    def __init__(self, pipeline: str, options: Dict[str, Any]) -> None:
        self._pipeline, self._options = pipeline, options
        self._annotate: Optional[ShardAnnotator] = None

    def run(self, shard: Shard) -> Outcome:
        return outcome_of(self._annotated, shard)

    def pid(self) -> int:
        return os.getpid()

    def _annotated(self, shard: Shard) -> bytes:
        # Here, where its error is the shard's and not the actor's.
        if self._annotate is None:
            self._annotate = ShardAnnotator(self._pipeline, **self._options)
        return self._annotate(shard)
