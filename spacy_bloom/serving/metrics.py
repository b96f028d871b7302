"""What Prometheus is told, in a registry of its own: several services in one process do not mix."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
TEXTS = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counters, histograms and gauges."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self.registry = CollectorRegistry()
        own: dict[str, Any] = {"namespace": "spacy_bloom", "registry": self.registry}
        self.requests = Counter("requests", "Requests to /v1/process by status code.", ["status"], **own)
        self.texts = Counter("texts", "Texts by part and outcome.", ["part", "outcome"], **own)
        self.characters = Counter("characters", "Characters by part.", ["part"], **own)
        self.seconds = Histogram("request_seconds", "Time to an answer.", buckets=SECONDS, **own)
        self.batch_seconds = Histogram(
            "batch_seconds", "Time of a batch by part.", ["part"], buckets=SECONDS, **own
        )
        self.batch_texts = Histogram("batch_texts", "Texts in a batch.", ["part"], buckets=TEXTS, **own)
        self.queue = Gauge("queue_characters", "Characters that wait.", **own)

    @contextmanager
    def timed_request(self) -> Iterator[None]:
        """Measure the time of a request."""
        with self.seconds.time():
            yield

    def counting(self, part: str, work: Callable[[], Sequence[Any]], lengths: Sequence[int]) -> Sequence[Any]:
        """Do a batch and count it.

        work (Callable): Does it.
        lengths (Sequence[int]): Characters of each text.
        RETURNS (Sequence): What it returns.
        """
        start = time.perf_counter()
        results = work()
        self.batch_seconds.labels(part).observe(time.perf_counter() - start)
        self.batch_texts.labels(part).observe(len(results))
        self.characters.labels(part).inc(sum(lengths))
        for result in results:
            self.texts.labels(part, "failed" if isinstance(result, Exception) else "done").inc()
        return results

    def exposition(self) -> tuple[bytes, str]:
        """RETURNS (tuple[bytes, str]): All figures in Prometheus' text format, and its media type."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        return generate_latest(self.registry), CONTENT_TYPE_LATEST
