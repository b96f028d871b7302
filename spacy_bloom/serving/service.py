"""Requests in, responses out: limits, the queue, and which result is whose. It knows no HTTP but its status codes."""

import asyncio
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from spacy.language import Language

from .batching import BatchQueue, Job, QueueClosed, QueueFull
from .messages import Part, ProcessedText, ProcessRequest, ProcessResponse
from .metrics import Metrics
from .parts import Asked, find_all
from .settings import ServingSettings

RETRY_AFTER = 2  # seconds; a batch takes about as long


class Refusal(Exception):
    """A request that gets no results.

    status (int): Status code of HTTP.
    detail (str): Why, and what to do.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


class Service:
    """Processes texts with pipelines, in one worker thread.

    parts (Mapping[str, tuple[Part, Language]]): What the service does, by name.
    settings (ServingSettings): Its limits.
    """

    def __init__(self, parts: Mapping[str, tuple[Part, Language]], settings: ServingSettings) -> None:
        self.settings, self.metrics = settings, Metrics()
        self.parts = {name: part for name, (part, _) in parts.items()}
        self._pipelines = {name: nlp for name, (_, nlp) in parts.items()}
        self.queue = BatchQueue(self._work, budget=settings.batch_length, limit=settings.max_queue)
        self.metrics.queue.set_function(lambda: self.queue.size)

    def warm_up(self) -> None:
        """Process a short text, so that weights are loaded and what is wrong with a pipeline shows at the start.

        RAISES (Exception): A part fails.
        """
        asked = Asked("BLOOM.", ["BLOOM?"] if any(p.answers_questions for p in self.parts.values()) else ())
        jobs = [Job(name, asked, len(asked)) for name in self.parts]
        self.queue.add(jobs)
        for job in jobs:
            job.future.result()

    def close(self) -> None:
        """Take no more requests, and finish those that were taken."""
        self.queue.close()

    async def process(self, request: ProcessRequest) -> ProcessResponse:
        """RETURNS (ProcessResponse): What was found in each text.
        RAISES (Refusal): The request is too long, there is no room for it, or it took too long.
        """
        names, asked = self._choose_parts(request), self._check_lengths(request)
        jobs = {(name, i): Job(name, one, len(one)) for i, one in enumerate(asked) for name in names}
        self._add(list(jobs.values()))
        waiting = [asyncio.wrap_future(job.future) for job in jobs.values()]
        try:
            _, late = await asyncio.wait(waiting, timeout=self.settings.timeout)
        finally:  # also if the client has gone: what still waits is not begun
            for future in waiting:
                future.cancel()
        # What has failed must be looked at, or asyncio complains.
        await asyncio.gather(*waiting, return_exceptions=True)
        if late:
            raise Refusal(
                504, f"Not done within {self.settings.timeout:g} seconds. Send fewer or shorter texts."
            )
        found = dict(zip(jobs, waiting, strict=True))
        results = [self._join(one.text, [found[name, i] for name in names]) for i, one in enumerate(asked)]
        self._refuse_failed(request, results)
        return ProcessResponse(results=[result for result, _ in results])

    def _choose_parts(self, request: ProcessRequest) -> list[str]:
        names = list(dict.fromkeys(self.parts if request.parts is None else request.parts))
        unknown = [name for name in names if name not in self.parts]
        if unknown:
            raise Refusal(422, f"Expected parts from {', '.join(self.parts)}; got {', '.join(unknown)}.")
        if request.questions and not any(self.parts[name].answers_questions for name in names):
            raise Refusal(
                422, "Got questions, but no part answers them: the service needs a question answerer."
            )
        return names

    def _check_lengths(self, request: ProcessRequest) -> list[Asked]:
        limits, texts = self.settings, request.all_texts
        for what, given in (("texts", texts), ("questions", request.questions)):
            if len(given) > limits.max_texts:
                raise Refusal(413, f"Expected at most {limits.max_texts} {what}, got {len(given)}.")
            for i, text in enumerate(given):
                if len(text) > limits.max_length:
                    raise Refusal(
                        413,
                        f"Expected {what} of at most {limits.max_length:,} characters, got {len(text):,} in number "
                        f"{i}.",
                    )
        return [Asked(text, request.questions) for text in texts]

    def _add(self, jobs: Sequence[Job]) -> None:
        size = sum(job.size for job in jobs)
        if size > self.settings.max_queue:
            raise Refusal(
                413,
                f"Expected at most {self.settings.max_queue:,} characters in all parts, texts and questions, "
                f"got {size:,}.",
            )
        try:
            self.queue.add(jobs)
        except QueueFull:
            raise Refusal(503, f"Too much is waiting. Try again in {RETRY_AFTER} seconds.") from None
        except QueueClosed:
            raise Refusal(503, "The service is being stopped.") from None

    def _work(self, kind: Hashable, given: Sequence[Asked]) -> Sequence[Any]:
        name = str(kind)
        return self.metrics.counting(
            name, lambda: find_all(name, self._pipelines[name], given), [len(one.text) for one in given]
        )

    def _join(self, text: str, futures: Sequence[Any]) -> tuple[ProcessedText, list[BaseException]]:
        errors = [error for future in futures if (error := future.exception()) is not None]
        fields: dict[str, Any] = {}
        for future in futures:
            if future.exception() is None:
                fields.update(future.result())
        said = "; ".join(str(error) or type(error).__name__ for error in errors) or None
        return ProcessedText(text=text, error=said, **fields), errors

    def _refuse_failed(
        self, request: ProcessRequest, results: Sequence[tuple[ProcessedText, list[BaseException]]]
    ) -> None:
        """RAISES (Refusal): The request is about one text, and that failed. Of many, each has its own error."""
        result, errors = results[0]
        if request.text is not None and errors:
            # Our components, spaCy and Python raise ValueErrors about what they are given.
            is_input = all(isinstance(error, ValueError) for error in errors)
            raise Refusal(422 if is_input else 500, result.error or "")
