"""Load: threads, asyncio, workers that are killed, long streams, mixed requests, memory that does not suffice."""

import asyncio
import json
import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from spacy.language import Language

from . import _tiny
from ._killing import Hangs, wait_for
from .figures import Budget, Figure
from .texts import NEAR, distance, texts, written

THREADS = 8
CLIENTS = 8
LIMITS = {"--max-length": "20000", "--max-texts": "8", "--timeout": "120"}


def soak(budget: Budget) -> Iterator[Figure]:
    """YIELDS (Figure): Of each kind of load."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(prefix="load-") as folder:
        checkpoint = _tiny.write_checkpoint(Path(folder) / "checkpoint")
        kinds: dict[str, tuple[float, Callable[[Budget, Path], Figure]]] = {
            "8 threads on one pipeline": (0.1, in_threads),
            "asyncio": (0.05, in_tasks),
            "memory that does not suffice": (0.05, without_memory),
            "n_process, a worker killed": (0.1, killed_workers),
            "a stream of short Docs": (0.2, long_stream),
            "8 clients of serve": (0.5, clients),
        }
        left = sum(share for share, _ in kinds.values())
        for kind, (share, run) in kinds.items():
            start = time.monotonic()
            figure = run(budget.part(budget.inputs * share, budget.left * share / left), checkpoint)
            left -= share
            figure.kind, figure.seconds = kind, time.monotonic() - start
            yield figure


def pipelines(checkpoint: Path) -> dict[str, Language]:
    """RETURNS (dict[str, Language]): One for each kind of component."""
    return {
        "classifiers": _tiny.trained(checkpoint, seed=3),
        "answerer": _tiny.answering(checkpoint, seed=3),
        "surprisal": _tiny.speaking(checkpoint, "bloom_surprisal"),
        "zero-shot": _tiny.speaking(checkpoint, "bloom_zero_shot", labels=["yes", "no"]),
        "generator": _tiny.speaking(checkpoint, "bloom_text_generator", max_new_tokens=3),
    }


def in_threads(budget: Budget, checkpoint: Path) -> Figure:
    """Eight threads share each pipeline, which none has used before: results are those of one thread."""
    figure, rng = Figure("threads"), budget.random("threads")
    while budget.left > 0 and figure.tried < budget.inputs:
        for name, nlp in pipelines(checkpoint).items():
            batch = list(islice(texts(rng), 24))
            with ThreadPoolExecutor(THREADS) as threads:
                # The first Docs meet while the weights are loaded.
                found = list(threads.map(lambda text, nlp=nlp: _outcome(nlp, text), batch))
            for text, one in zip(batch, found, strict=True):
                figure.tried += 1
                gap = distance(one, _outcome(nlp, text))
                if gap > NEAR:
                    figure.found.append(f"{name} in threads, {text[:60]!r}: {gap:.1e}, {one!r:.200}")
    return figure


def _outcome(nlp: Language, text: str) -> list[Any]:
    try:
        return written(nlp(text))
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]


def in_tasks(budget: Budget, checkpoint: Path) -> Figure:
    """Tasks of asyncio that leave the work to threads, as web applications do."""
    figure, rng = Figure("tasks"), budget.random("tasks")
    nlp = _tiny.trained(checkpoint, seed=3)

    async def all_of(batch: list[str]) -> list[list[Any]]:
        return list(await asyncio.gather(*(asyncio.to_thread(_outcome, nlp, text) for text in batch)))

    while budget.left > 0 and figure.tried < budget.inputs:
        batch = list(islice(texts(rng), 32))
        for text, one in zip(batch, asyncio.run(all_of(batch)), strict=True):
            figure.tried += 1
            if distance(one, _outcome(nlp, text)) > NEAR:
                figure.found.append(f"asyncio, {text[:60]!r}: {one!r:.200}")
    return figure


def without_memory(budget: Budget, checkpoint: Path) -> Figure:
    """No more than a random number of pieces fits into memory at once: every Doc that fits alone is done as ever."""
    figure, rng = Figure("memory"), budget.random("memory")
    made = pipelines(checkpoint)
    reported = 0
    while budget.left > 0 and figure.tried < budget.inputs:
        for name, nlp in made.items():
            batch = list(islice(texts(rng), 32))
            room, failed = rng.randrange(20, 400), []
            nlp.set_error_handler(lambda _, __, docs, error, failed=failed: failed.append((docs, error)))
            expected = {text: _outcome(nlp, text) for text in batch}
            failed.clear()
            with _room_for(room):
                found = {doc.text: written(doc) for doc in nlp.pipe(batch, batch_size=32)}
            figure.tried += len(batch)
            for docs, error in failed:
                reported += 1
                if len(docs) != 1 or "can't allocate" not in str(error):
                    figure.found.append(f"{name}: {len(docs)} Docs reported together, {error!r}"[:300])
            lost = set(batch) - set(found) - {docs[0].text for docs, _ in failed}
            figure.found += [f"{name}: lost {text[:60]!r}" for text in lost]
            for text, one in found.items():
                if distance(one, expected[text]) > NEAR:
                    figure.found.append(f"{name}, room for {room}: {text[:60]!r} is another")
    figure.notes = {"Docs too large alone, reported": reported}
    return figure


class _room_for:
    """The embedding fails, as torch's allocator does, with more than some pieces at once."""

    def __init__(self, room: int) -> None:
        self.room = room

    def __enter__(self) -> None:
        self.embedding = torch.nn.functional.embedding

        def limited(ids: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
            if ids.numel() > self.room:
                raise RuntimeError(f"DefaultCPUAllocator: can't allocate memory for {ids.numel()} pieces")
            return self.embedding(ids, *args, **options)

        torch.nn.functional.embedding = limited

    def __exit__(self, *error: Any) -> None:
        torch.nn.functional.embedding = self.embedding


def killed_workers(budget: Budget, checkpoint: Path) -> Figure:
    """`nlp.pipe(n_process=2)`, forked and spawned: equal results; with a worker killed, an end with an error."""
    figure, rng, ends = Figure("workers"), budget.random("workers"), Counter[str]()
    nlp = _tiny.trained(checkpoint, seed=3)
    batch = list(islice(texts(rng), 60))
    expected = [written(doc) for doc in nlp.pipe(batch)]
    for method in ("fork", "spawn"):
        multiprocessing.set_start_method(method, force=True)
        found = [written(doc) for doc in nlp.pipe(batch, n_process=2, batch_size=8)]
        figure.tried += 1
        if any(distance(*pair) > NEAR for pair in zip(expected, found, strict=True)):
            figure.found.append(f"n_process with {method}: other results")
    multiprocessing.set_start_method("fork", force=True)
    while budget.left > 0 and figure.tried < min(budget.inputs, 20):
        figure.tried += 1
        when, pid = rng.random(), os.fork()
        if not pid:
            os.setsid()  # its workers can be ended with it
            _lose_a_worker(nlp, batch, when)
        try:
            ends[{0: "done before", 3: "an error"}.get(code := wait_for(pid, 30), f"exit code {code}")] += 1
        except Hangs:
            ends["waits for ever (spaCy's)"] += 1
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    figure.notes = dict(ends)
    return figure


def _lose_a_worker(nlp: Language, batch: list[str], when: float) -> None:
    """Runs in a process of its own, which ends with 3 if the loss is noticed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    stream = nlp.pipe(batch * 20, n_process=2, batch_size=4)
    try:
        for number, _ in enumerate(stream):
            if number == int(when * 100):
                workers = multiprocessing.active_children()
                os.kill(workers[number % len(workers)].pid or 0, signal.SIGKILL)
    except BaseException:
        os._exit(3)
    os._exit(0)


def megabytes(pid: int) -> float:
    """RETURNS (float): What a process holds in memory, as Linux tells."""
    return int(Path(f"/proc/{pid}/statm").read_text("utf8").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def long_stream(budget: Budget, checkpoint: Path) -> Figure:
    """A stream of Docs with ever new words, in zones of memory: what the process holds stays flat."""
    figure = Figure("stream")
    nlp = _tiny.trained(checkpoint, seed=3)
    process, seen, wanted = os.getpid(), [], min(budget.inputs * 10, 10**6)
    while budget.left > 0 and figure.tried < wanted:
        with nlp.memory_zone():
            batch = [f"Ana {figure.tried + i} lives in L{figure.tried + i}a." for i in range(1000)]
            figure.tried += sum(1 for _ in nlp.pipe(batch, batch_size=500))
        seen.append(megabytes(process))
    warm, last = seen[len(seen) // 5 :][:1], seen[-1:]
    if warm and last[0] > warm[0] * 1.05 + 20:
        figure.found.append(f"memory grew from {warm[0]:.0f} MB to {last[0]:.0f} MB")
    figure.notes = {"MB after a fifth": round(warm[0]), "MB at the end": round(last[0])} if seen else {}
    return figure


def request(rng: random.Random) -> tuple[bytes, set[int]]:
    """RETURNS (tuple[bytes, set[int]]): The body of a request, and the status codes that are right for it."""
    if rng.random() < 0.1:
        return rng.choice(
            [
                (b"", {422}),
                (b"{", {422}),
                (b"\xff\xfe", {400, 422}),
                (b"[" * 5000, {400, 422}),
                (b'{"text": 5}', {422}),
                (b'{"text": "\\ud800"}', {422}),
                (b'{"text": "a", "parts": ["none"]}', {422}),
                (b'{"texts": []}', {422}),
                (json.dumps({"text": "a" * 20_001}).encode(), {413}),
                (json.dumps({"texts": ["a"] * 9}).encode(), {413}),
                (b'{"text": "a", "more": 1}', {422}),
            ]
        )
    made = texts(rng)
    size = int(10 ** rng.uniform(0, 4.7))  # 1 to 50,000 characters
    text = ""
    while len(text) < size:
        text += next(made) + rng.choice([" ", "\n", ""])
    text = text[:size]
    right = {200, 503, 504} if size <= 20_000 else {413}
    if rng.random() < 0.3 and size <= 20_000:
        return json.dumps({"texts": [text, *islice(made, 3)], "questions": ["Who?"]}).encode(), right
    return json.dumps({"text": text}).encode(), right


def clients(budget: Budget, checkpoint: Path) -> Figure:
    """Eight clients ask without a pause: every request gets a right answer, and the process does not grow."""
    figure, states = Figure("clients"), Counter[int]()
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "spacy",
        "bloom",
        "serve",
        "xx_bloom_tiny_demo",
        "--answerer",
        "xx_bloom_tiny_qa",
    ]
    command += ["--port", str(port), *(part for pair in LIMITS.items() for part in pair)]
    log = (budget.kept / "serve.log").open("wb")
    server = subprocess.Popen(command, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_healthy(url, server)
        process, memory, times = server.pid, list[float](), list[float]()
        lock, end = threading.Lock(), time.monotonic() + budget.left

        def ask(number: int) -> None:
            rng = budget.random(f"client {number}")
            while time.monotonic() < end and figure.tried < budget.inputs:
                body, right = request(rng)
                start = time.monotonic()
                status, answer = _post(f"{url}/v1/process", body)
                seconds = time.monotonic() - start
                with lock:
                    figure.tried += 1
                    states[status] += 1
                    if status == 200:
                        times.append(seconds)
                    if status not in right or not _is_answer(body, status, answer):
                        figure.found.append(f"status {status} for {body[:80]!r}: {answer[:150]!r}")

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            memory.append(megabytes(process))
            time.sleep(min(5.0, max(budget.seconds / 60, 0.2)))
        server.send_signal(signal.SIGTERM)
        if server.wait(60) != 0:
            figure.found.append(f"serve ended with {server.returncode}")
    finally:
        server.kill()
        server.wait()
        log.close()
    times.sort()
    warm, last = memory[len(memory) // 3], memory[-1]
    if last > warm * 1.1 + 50:
        figure.found.append(f"serve grew from {warm:.0f} MB to {last:.0f} MB")
    figure.notes = {f"status {status}": count for status, count in sorted(states.items())}
    if times:
        figure.notes |= {
            "p50": f"{times[len(times) // 2]:.2f} s",
            "p99": f"{times[int(len(times) * 0.99)]:.2f} s",
        }
    figure.notes |= {"MB after a third": round(warm), "MB at the end": round(last)}
    return figure


def _wait_until_healthy(url: str, server: subprocess.Popen) -> None:
    for _ in range(600):
        if server.poll() is not None:
            raise RuntimeError(f"serve ended with {server.returncode}")
        try:
            urllib.request.urlopen(f"{url}/health", timeout=5).close()
            return
        except OSError:
            time.sleep(0.5)
    raise RuntimeError("serve does not answer")


def _post(url: str, body: bytes) -> tuple[int, bytes]:
    asked = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(asked, timeout=200) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError as error:
        return 0, repr(error).encode()


def _is_answer(body: bytes, status: int, answer: bytes) -> bool:
    """RETURNS (bool): Whether it is about what was asked."""
    try:
        found = json.loads(answer)
        if status != 200:
            return isinstance(found["detail"], str)
        asked = json.loads(body)
        wanted = asked.get("texts") or [asked["text"]]
        return [one["text"] for one in found["results"]] == wanted and not any(
            r.get("error") for r in found["results"]
        )
    except (ValueError, KeyError, TypeError):
        return False
