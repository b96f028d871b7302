"""Who annotates shards: this process, or several of this machine."""

import multiprocessing
import pickle
from contextlib import suppress
from multiprocessing.connection import wait
from typing import Any, Callable, Dict, List, Optional, Protocol, Tuple, Union

from ..errors import RankError
from .annotator import ShardAnnotator, threads_for
from .shards import Shard

Outcome = Union[bytes, Exception]


class Engine(Protocol):
    """Workers with numbers from 0, each busy with one shard at most.

    n_workers (int): How many.
    can_renew (bool): Whether a worker can be ended in the middle of its shard.
    """

    n_workers: int
    can_renew: bool

    def start(self, pipeline: str, options: Dict[str, Any]) -> None:
        """Make the workers, each with a `ShardAnnotator(pipeline, **options)`."""

    def begin(self, worker: int, shard: Shard) -> None:
        """Give a shard to a worker that has none."""

    def wait(self, seconds: Optional[float]) -> List[Tuple[int, Outcome]]:
        """RETURNS (list[tuple[int, bytes | Exception]]): Workers that have ended theirs by now, with what came of it;
        none if that takes longer than the seconds. A worker whose process is gone is made anew.
        """

    def renew(self, worker: int) -> None:
        """End a worker in the middle of its shard, and make it anew."""

    def close(self) -> None:
        """End all workers."""


class InProcess:
    """This process. It cannot be renewed, so there is no time limit."""

    n_workers = 1
    can_renew = False

    def start(self, pipeline: str, options: Dict[str, Any]) -> None:
        self._annotate: Callable[[Shard], bytes] = ShardAnnotator(pipeline, **options)
        self._outcome: Optional[Outcome] = None

    def begin(self, worker: int, shard: Shard) -> None:
        self._outcome = outcome_of(self._annotate, shard)

    def wait(self, seconds: Optional[float]) -> List[Tuple[int, Outcome]]:
        outcome, self._outcome = self._outcome, None
        return [] if outcome is None else [(0, outcome)]

    def renew(self, worker: int) -> None:
        raise NotImplementedError("Only other processes can be ended and begun anew.")

    def close(self) -> None:
        pass


class Processes:
    """Processes of this machine. Each loads the pipeline itself; mapped weights are in memory once.

    n_workers (int): Number of processes. They share the cores among them.
    """

    can_renew = True

    def __init__(self, n_workers: int) -> None:
        self.n_workers = n_workers
        # A forked process would inherit threads that do not exist there.
        self._context = multiprocessing.get_context("spawn")
        self._workers: List[Tuple[Any, Any]] = []

    def start(self, pipeline: str, options: Dict[str, Any]) -> None:
        self._made_with = (pipeline, {"n_threads": threads_for(self.n_workers), **options})
        self._workers = [self._make() for _ in range(self.n_workers)]

    def begin(self, worker: int, shard: Shard) -> None:
        with suppress(OSError):  # it is gone: `wait` finds that out
            self._workers[worker][1].send(shard)

    def wait(self, seconds: Optional[float]) -> List[Tuple[int, Outcome]]:
        ready = wait([connection for _, connection in self._workers], seconds)
        ended: List[Tuple[int, Outcome]] = []
        for worker, (process, connection) in enumerate(self._workers):
            if connection in ready:
                try:
                    ended.append((worker, connection.recv()))
                except (EOFError, OSError):
                    process.join(5)
                    ended.append((worker, RankError(f"its process ended with exit code {process.exitcode}")))
                    self.renew(worker)
        return ended

    def renew(self, worker: int) -> None:
        self._end(worker)
        self._workers[worker] = self._make()

    def close(self) -> None:
        for worker in range(len(self._workers)):
            self._end(worker)
        self._workers = []

    def _make(self) -> Tuple[Any, Any]:
        here, there = self._context.Pipe()
        process = self._context.Process(target=_work, args=(there, *self._made_with), daemon=True)
        process.start()
        there.close()
        return process, here

    def _end(self, worker: int) -> None:
        process, connection = self._workers[worker]
        connection.close()
        process.kill()
        process.join()


def outcome_of(annotate: Callable[[Shard], bytes], shard: Shard) -> Outcome:
    """RETURNS (bytes | Exception): What a shard becomes, or the error that it raises."""
    try:
        return annotate(shard)
    except Exception as error:
        return error


def _work(connection: Any, pipeline: str, options: Dict[str, Any]) -> None:
    """The life of a process: shards in, outcomes out, until nobody asks any more."""
    try:
        annotate: Callable[[Shard], bytes] = ShardAnnotator(pipeline, **options)
    except Exception as error:
        failure = error

        def annotate(shard: Shard) -> bytes:
            raise failure

    try:
        while True:
            connection.send(_sendable(outcome_of(annotate, connection.recv())))
    except (EOFError, OSError, KeyboardInterrupt):
        pass


def _sendable(outcome: Outcome) -> Outcome:
    """RETURNS (bytes | Exception): The outcome, or an error with the same words if it cannot be pickled."""
    if isinstance(outcome, bytes):
        return outcome
    try:
        pickle.loads(pickle.dumps(outcome))
        return outcome
    except Exception:
        return RuntimeError(f"{type(outcome).__name__}: {outcome}")
