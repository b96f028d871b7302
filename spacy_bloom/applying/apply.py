"""A pipeline over a corpus, with what is done already left alone."""

import time
from collections import deque
from pathlib import Path
from typing import Any, Callable, Deque, Dict, Iterator, List, NamedTuple, Optional, Tuple, Union

from ..errors import InputError
from .annotator import check_format
from .engines import Engine, InProcess, Outcome
from .output import Output
from .shards import Shard, count_docs, cut_shards, find_sources

TRIES = 3
POLL = 1.0  # seconds between looks at the clock
Progress = Callable[[int], object]


class Failure(NamedTuple):
    """A shard that was given up.

    source (str): Its file, below the input folder.
    number (int): Which shard of the file, from 0.
    n_docs (int): How many texts it has.
    error (str): What happened at the last try.
    """

    source: str
    number: int
    n_docs: int
    error: str


class Applied(NamedTuple):
    """What a run did.

    n_docs (int): Docs that were written now.
    n_shards (int): Files that were written now.
    n_before (int): Files that were there.
    failures (list[Failure]): What was given up. The next run tries it again.
    """

    n_docs: int
    n_shards: int
    n_before: int
    failures: List[Failure]


def apply_pipeline(
    pipeline: Union[str, Path],
    texts: Path,
    output: Path,
    *,
    engine: Optional[Engine] = None,
    shard_size: int = 1000,
    format: str = "spacy",
    text_key: str = "text",
    batch_size: Optional[int] = None,
    timeout: Optional[float] = None,
    gpu_id: int = -1,
    force: bool = False,
    begin: Callable[[int, int], Progress] = lambda total, done: lambda n_docs: None,
) -> Applied:
    """Annotate a corpus. For each input file there is a folder NAME.docs, with a file for each shard; a shard's file is
    complete or not there. What is there is not done again.

    pipeline (str | Path): What `spacy.load` takes; where workers run, it must be found under the same name.
    texts (Path): A file `.txt` (a text a line), `.jsonl` (records with a text), `.spacy` or `.parquet`, or a folder.
    output (Path): A folder; its `apply.json` says what it is made from.
    engine (Engine | None): Who works: `Processes`, `RayActors`, or None for this process.
    shard_size (int): Texts in a shard.
    format, text_key, batch_size, gpu_id: As for `ShardAnnotator`.
    timeout (float | None): Seconds after which a shard's worker is ended; None for any time. Not for this process.
    force (bool): Begin anew where the folder was made from something else.
    begin (Callable): Given how many texts there are and how many are done, returns what is told of each shard's.
    RETURNS (Applied): What was done.
    RAISES (InputError): The input cannot be read, or the output is of another pipeline, input or setting.
    """
    if shard_size < 1:
        raise InputError(f"Expected a shard size of at least 1, got {shard_size}.")
    check_format(format)
    engine = engine or InProcess()
    if timeout is not None and not engine.can_renew:
        raise InputError("Expected no time limit: only other processes can be ended. Use several, or Ray.")
    sources = find_sources(texts)
    counts = {name: count_docs(path) for name, path in sources.items()}
    settings = {"shard_size": shard_size, "format": format, "text_key": text_key}
    with Output(output, pipeline, texts, sources, settings, force=force) as place:
        done = {name: place.done(name) for name in sources}
        n_done = sum(
            min(shard_size, counts[name] - number * shard_size)
            for name, numbers in done.items()
            for number in numbers
        )
        tell = begin(sum(counts.values()), n_done)
        todo = (
            shard
            for name, path in sources.items()
            if len(done[name]) * shard_size < counts[name]
            for shard in cut_shards(name, path, shard_size, done=done[name])
        )
        options: Dict[str, Any] = {"format": format, "text_key": text_key, "batch_size": batch_size}
        if gpu_id >= 0:
            options["gpu_id"] = gpu_id
        n_docs = n_shards = 0
        failures: List[Failure] = []
        for shard, outcome in _outcomes(todo, engine, str(pipeline), options, timeout):
            tell(shard.n_docs)
            if isinstance(outcome, Exception):
                failures.append(_failure(shard, outcome))
            else:
                place.write(shard, outcome)
                n_docs, n_shards = n_docs + shard.n_docs, n_shards + 1
        place.write_failures([failure._asdict() for failure in failures])
    return Applied(n_docs, n_shards, sum(map(len, done.values())), failures)


def _outcomes(
    shards: Iterator[Shard], engine: Engine, pipeline: str, options: Dict[str, Any], timeout: Optional[float]
) -> Iterator[Tuple[Shard, Outcome]]:
    """Each shard once, with its content or with the error of its last try."""
    again: Deque[Tuple[Shard, int]] = deque()
    busy: Dict[int, Tuple[Shard, int, float]] = {}
    engine.start(pipeline, options)
    try:
        idle = list(range(engine.n_workers))
        while True:
            while idle and (job := again.popleft() if again else _first_try(shards)):
                busy[idle[-1]] = (*job, time.monotonic())
                engine.begin(idle.pop(), job[0])
            if not busy:
                return
            ended = [(worker, *busy[worker][:2], outcome) for worker, outcome in engine.wait(POLL)]
            ended += _late(engine, busy, {worker for worker, *_ in ended}, timeout)
            for worker, shard, tries, outcome in ended:
                del busy[worker]
                idle.append(worker)
                if isinstance(outcome, Exception) and tries < TRIES:
                    again.append((shard, tries + 1))
                else:
                    yield shard, outcome
    finally:
        engine.close()


def _first_try(shards: Iterator[Shard]) -> Optional[Tuple[Shard, int]]:
    shard = next(shards, None)
    return None if shard is None else (shard, 1)


def _late(
    engine: Engine, busy: Dict[int, Tuple[Shard, int, float]], ended: Any, timeout: Optional[float]
) -> List[Tuple[int, Shard, int, Outcome]]:
    """End the workers whose time is over."""
    late: List[Tuple[int, Shard, int, Outcome]] = []
    for worker, (shard, tries, since) in busy.items():
        if timeout is not None and worker not in ended and time.monotonic() - since > timeout:
            engine.renew(worker)
            late.append((worker, shard, tries, TimeoutError(f"it took longer than {timeout:g} seconds")))
    return late


def _failure(shard: Shard, error: Exception) -> Failure:
    return Failure(shard.source, shard.number, shard.n_docs, f"{type(error).__name__}: {error}")
