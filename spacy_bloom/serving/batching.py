"""A queue whose worker thread takes what waits in batches. It knows neither texts nor HTTP."""

import contextvars
import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any


class QueueFull(Exception):
    """More waits than the queue has room for."""


class QueueClosed(Exception):
    """The queue takes nothing any more."""


@dataclass(frozen=True, eq=False)
class Job:
    """Something to do.

    kind (Hashable): Only jobs of one kind share a batch.
    given (Any): What it is about.
    size (int): Its share of the budget.
    future (Future): Gets the result, or the exception.
    """

    kind: Hashable
    given: Any
    size: int
    future: Future = field(default_factory=Future)


# Works on what the jobs of a batch are given: one result for each, or the exception that is its result.
Work = Callable[[Hashable, Sequence[Any]], Sequence[Any]]


class BatchQueue:
    """Jobs in the order in which they came. The worker takes the first one that waits, and with it those of its kind
    that fit the budget: under little load nothing waits for company, under much load batches are full.

    work (Callable): Does a batch, in the worker's thread, one batch at a time.
    budget (int): Size of a batch; a larger job is a batch of its own.
    limit (int): Size of all jobs that may wait.
    """

    def __init__(self, work: Work, *, budget: int, limit: int) -> None:
        self.work, self.budget, self.limit = work, budget, limit
        self.size = 0  # of the jobs that wait
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        # thinc's choice of device is a context variable, which threads do not inherit.
        context = contextvars.copy_context()
        self._worker = threading.Thread(target=context.run, args=(self._run,), name="batches", daemon=True)
        self._worker.start()

    @property
    def is_open(self) -> bool:
        """Whether jobs are taken and somebody does them."""
        return not self._closed and self._worker.is_alive()

    def add(self, jobs: Sequence[Job]) -> None:
        """Take all jobs or none.

        RAISES (QueueFull): There is no room for all of them.
        RAISES (QueueClosed): The queue is closed.
        """
        size = sum(job.size for job in jobs)
        with self._changed:
            if not self.is_open:
                raise QueueClosed
            if self.size + size > self.limit:
                raise QueueFull
            self._jobs.extend(jobs)
            self.size += size
            self._changed.notify()

    def close(self) -> None:
        """Take no more jobs, and return when those that were taken are done."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._worker.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._closed)
                if not self._jobs:
                    return
                batch = self._take()
            if batch:
                self._do(batch)

    def _take(self) -> list[Job]:
        """RETURNS (list[Job]): The next batch, without jobs that nobody waits for any more."""
        kind, room = self._jobs[0].kind, self.budget
        taken, left = [], []
        for place, job in enumerate(self._jobs):
            if job.future.cancelled():
                self.size -= job.size
            elif job.kind == kind and (place == 0 or job.size <= room):
                taken.append(job)
                self.size -= job.size
                room -= job.size
            else:
                left.append(job)
                if job.kind == kind:
                    room = 0  # a small job does not overtake a large one
        self._jobs = deque(left)
        return [job for job in taken if job.future.set_running_or_notify_cancel()]

    def _do(self, batch: Sequence[Job]) -> None:
        try:
            results = self.work(batch[0].kind, [job.given for job in batch])
            pairs = list(zip(batch, results, strict=True))
        except BaseException as error:
            # The worker outlives whatever happens in a batch.
            pairs = [(job, error) for job in batch]
        for job, result in pairs:
            if isinstance(result, BaseException):
                job.future.set_exception(result)
            else:
                job.future.set_result(result)
