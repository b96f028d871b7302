"""Jobs become batches under a budget; every one gets its own result, whatever happens to the others."""

import random
import threading

import pytest

from spacy_bloom.serving.batching import BatchQueue, Job, QueueClosed, QueueFull


class Worker:
    """Doubles numbers, when it is let; keeps the batches."""

    def __init__(self):
        self.batches = []
        self.begun, self.may_go = threading.Semaphore(0), threading.Event()

    def __call__(self, kind, given):
        self.batches.append((kind, list(given)))
        self.begun.release()
        assert self.may_go.wait(10)
        if "crash" in given:
            raise RuntimeError("crash")
        return [2 * one if one >= 0 else ValueError(one) for one in given]


@pytest.fixture
def worker():
    return Worker()


@pytest.fixture
def queue(worker):
    made = BatchQueue(worker, budget=10, limit=100)
    yield made
    worker.may_go.set()
    made.close()


def occupy(queue, worker):
    """Give the worker something to do, so that what comes next waits."""
    queue.add([Job("first", 0, 1)])
    assert worker.begun.acquire(timeout=10)


def test_what_waits_is_joined_under_the_budget(queue, worker):
    occupy(queue, worker)
    sizes = [4, 4, 4, 20, 3, 3]
    jobs = [Job("a", number, size) for number, size in enumerate(sizes)]
    queue.add(jobs)
    worker.may_go.set()
    assert [job.future.result(10) for job in jobs] == [0, 2, 4, 6, 8, 10]
    assert worker.batches[1:] == [("a", [0, 1]), ("a", [2]), ("a", [3]), ("a", [4, 5])]
    assert queue.size == 0


def test_kinds_are_not_mixed_and_none_starves(queue, worker):
    occupy(queue, worker)
    jobs = [Job("ab"[number % 2], number, 1) for number in range(6)]
    queue.add(jobs)
    worker.may_go.set()
    assert [job.future.result(10) for job in jobs] == [0, 2, 4, 6, 8, 10]
    assert worker.batches[1:] == [("a", [0, 2, 4]), ("b", [1, 3, 5])]


def test_results_are_never_mixed_up(queue, worker):
    worker.may_go.set()
    found, numbers = {}, random.Random(0).sample(range(-5000, 5000), 400)

    def ask(own):
        for number in own:
            job = Job(number % 3, number, random.randint(1, 12))
            while True:
                try:
                    queue.add([job])
                    break
                except QueueFull:
                    pass
            error = job.future.exception(10)
            found[number] = error.args[0] if error else job.future.result()

    threads = [threading.Thread(target=ask, args=(numbers[i::8],)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: number if number < 0 else 2 * number for number in numbers}


def test_a_batch_that_fails_leaves_the_worker(queue, worker):
    worker.may_go.set()
    failing, well = Job("a", "crash", 1), Job("a", 4, 1)
    queue.add([failing])
    assert isinstance(failing.future.exception(10), RuntimeError)
    queue.add([well])
    assert well.future.result(10) == 8 and queue.is_open


def test_a_full_queue_takes_all_or_nothing(queue, worker):
    occupy(queue, worker)
    queue.add([Job("a", 1, 60)])
    with pytest.raises(QueueFull):
        queue.add([Job("a", 1, 30), Job("a", 1, 30)])
    assert queue.size == 60
    queue.add([Job("a", 1, 40)])


def test_what_nobody_waits_for_is_not_done(queue, worker):
    occupy(queue, worker)
    gone, stays = Job("a", 1, 1), Job("a", 2, 1)
    queue.add([gone, stays])
    assert gone.future.cancel()
    worker.may_go.set()
    assert stays.future.result(10) == 4
    assert worker.batches[1:] == [("a", [2])] and queue.size == 0


def test_closing_finishes_what_was_taken(worker):
    queue = BatchQueue(worker, budget=1, limit=100)
    occupy(queue, worker)
    jobs = [Job("a", number, 1) for number in range(5)]
    queue.add(jobs)
    closing = threading.Thread(target=queue.close)
    closing.start()
    while queue.is_open:
        pass
    with pytest.raises(QueueClosed):
        queue.add([Job("a", 1, 1)])
    worker.may_go.set()
    closing.join(10)
    assert [job.future.result(0) for job in jobs] == [0, 2, 4, 6, 8]
