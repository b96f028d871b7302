"""Processes that are killed: forked after all imports, so that each costs no more than its work."""

import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate"}
LIMIT = 120.0  # seconds, after which a process hangs


class Hangs(Exception):
    """A process did not end in time."""


def run_forked(
    work: Callable[[], object],
    *,
    root: Path,
    seconds: float | None = None,
    operation: int | None = None,
    counted: Path | None = None,
) -> int:
    """Do some work in a forked process, which may be killed meanwhile.

    work (Callable): What it does; its output is thrown away.
    root (Path): Changes below it count as operations.
    seconds (float | None): When to kill it.
    operation (int | None): Before which change, from 1, it kills itself.
    counted (Path | None): File for the number of changes.
    RETURNS (int): 0, 1 if the work raised an error, -9 if it was killed.
    RAISES (Hangs): It does not end.
    """
    pid = os.fork()
    if not pid:
        _child(work, root, operation, counted)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(pid, signal.SIGKILL)  # it is no other's yet: nobody has waited for it
    return wait_for(pid)


def wait_for(pid: int, limit: float = LIMIT) -> int:
    """RETURNS (int): The exit code of a child; minus the number of the signal that ended it.
    RAISES (Hangs): It does not end, and was killed.
    """
    end = time.monotonic() + limit
    pause = 0.001
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise Hangs(f"no end after {limit:.0f} seconds")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def _child(work: Callable[[], object], root: Path, operation: int | None, counted: Path | None) -> None:
    code = 1
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (1, 2):
            os.dup2(null, stream)
        seen = [0]
        if operation is not None or counted is not None:
            _watch(str(root), seen, operation)
        work()
        if counted is not None:
            counted.write_text(str(seen[0]), "utf8")
        code = 0
    finally:
        os._exit(code)


def _watch(root: str, seen: list[int], operation: int | None) -> None:
    def hook(event: str, args: Any) -> None:
        writes = event == "open" and isinstance(args[2], int) and args[2] & WRITING
        if (writes or event in CHANGES) and any(str(arg).startswith(root) for arg in args[:2]):
            seen[0] += 1
            if seen[0] == operation:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def moments(rng: random.Random, seconds: float, operations: int) -> Iterator[dict[str, Any]]:
    """YIELDS (dict[str, Any]): When to kill, for `run_forked`: by turns at a random time, and before a random change,
    which finds what lies between two renames.
    """
    while True:
        yield {"seconds": rng.uniform(0.0, seconds * 1.02)}
        yield {"operation": rng.randint(1, max(operations, 1))}
