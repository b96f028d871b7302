"""Inputs that are read one after the other in a process under watch.

A worker is a fork with hooks that note what a file must not bring about. It says which input it is at; when it dies or
does not go on, that input was the reason, and another worker goes on behind it.
"""

import ctypes
import json
import mmap
import os
import re
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, Protocol

from spacy_bloom.errors import BloomError

from ..figures import Budget, Figure

MAX_SECONDS = 10.0
MAX_BYTES = 200 * 2**20  # beyond the file
# A process that takes this much more cannot be waited for to say so.
HARD_BYTES = 4 * 2**30
STACK_FRAMES = 3
SAID = ", which said "  # faults are one if they are the same up to here
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
# Events of Python that no file may bring about.
NEVER = ("subprocess.", "os.system", "os.exec", "os.fork", "os.spawn", "os.posix_spawn", "socket.", "pickle.find_class",
         "ctypes.dlopen", "shutil.", "urllib.", "webbrowser.", "os.putenv", "os.kill")  # fmt: skip
PLACES = (
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
)


class Kind(Protocol):
    """Files of one kind.

    name (str): As in the figures.
    weight (float): Share of the inputs.
    most_seconds (float): Optional: less than MAX_SECONDS.
    """

    name: str
    weight: float

    def prepare(self, folder: Path) -> None:
        """Write good files; called once in each worker, before the hooks are there."""

    def write(self, folder: Path, random: Random) -> None:
        """Write one mutated input over the good files."""

    def read(self, folder: Path) -> None:
        """Read it. RAISES (BloomError): As it should if the input is bad."""


class Watch:
    """What a worker sees of itself.

    folder (Path): Where files may be written.
    outside (Path): A folder with files that no input may open.
    """

    def __init__(self, folder: Path, outside: Path) -> None:
        self.folder, self.broken, self.on = str(folder), [], False
        self._files = _Opened(outside)
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple) -> None:
        if not self.on:
            return
        if event == "open":
            path, mode, flags = arguments
            writes = (isinstance(flags, int) and flags & WRITES) or set(str(mode)) & set("wax+")
            if writes and not self._is_inside(path):
                self.broken.append(f"opened {path!r} to write")
        elif event.startswith(PLACES) and not all(map(self._is_inside, arguments[:1])):
            self.broken.append(f"{event} {arguments[:2]!r}")
        elif event.startswith(NEVER):
            self.broken.append(f"{event} {arguments!r:.200}")
        elif event == "exec":
            name = arguments[0].co_filename
            if Path(sys._getframe(1).f_code.co_filename).name == "typing.py":
                return  # types of our own signatures that are written as texts
            if name.startswith("<") and not name.startswith(("<template", "<unknown", "<frozen")):
                self.broken.append(f"ran code of {name}: {arguments[0].co_names[:5]}")

    def _is_inside(self, path: Any) -> bool:
        if not isinstance(path, (str, bytes, os.PathLike)):
            return True  # a descriptor
        return os.path.realpath(os.fsdecode(path)).startswith((self.folder, "/dev/null", "/proc/self"))

    def taken(self) -> list[str]:
        """RETURNS (list[str]): What was broken since the last call."""
        broken = self.broken + self._files.taken()
        self.broken = []
        return broken


class _Opened:
    """Says when a file in a folder is opened, by whatever code: inotify."""

    IN_OPEN, IN_ISDIR, NONBLOCK = 0x20, 0x40000000, 0o4000

    def __init__(self, folder: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._file = libc.inotify_init1(self.NONBLOCK)
        if self._file < 0 or libc.inotify_add_watch(self._file, os.fsencode(folder), self.IN_OPEN) < 0:
            self._file = -1

    def taken(self) -> list[str]:
        """RETURNS (list[str]): What was opened since the last call."""
        try:
            events = os.read(self._file, 4096) if self._file >= 0 else b""
        except BlockingIOError:
            return []
        found = []
        while len(events) >= 16:
            _, mask, _, length = struct.unpack_from("iIII", events)
            if not mask & self.IN_ISDIR:
                found.append(f"opened {events[16 : 16 + length].rstrip(bytes(1)).decode()} outside")
            events = events[16 + length :]
        return found


def memory(name: str) -> int:
    """RETURNS (int): A figure of /proc/self/status in bytes: VmRSS, or VmHWM since `reset_peak`."""
    with open("/proc/self/status", "rb") as file:
        for line in file:
            if line.startswith(name.encode()):
                return int(line.split()[1]) * 1024
    return 0


def reset_peak() -> None:
    """Let the peak of memory begin again."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def outcome_of(read: Callable[[], Any]) -> tuple[str, str]:
    """RETURNS (tuple[str, str]): "right" or "error" or, with a description, "strange"."""
    try:
        read()
    except BloomError:
        return "error", ""
    except BaseException as error:  # also the panics of libraries in Rust
        frames = traceback.extract_tb(error.__traceback__)[-STACK_FRAMES:]
        where = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames))
        return "strange", f"{type(error).__name__} at {where}{SAID}{str(error)[:150]!r}"
    return "right", ""


def size_of(folder: Path) -> int:
    """RETURNS (int): Bytes of a folder's files."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _work(kind: Kind, base: Path, seed: int, numbers: range, state: mmap.mmap, pipe: int) -> None:
    """Read inputs, one after the other, and write an outcome for each to the pipe."""
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit = memory("VmSize") + HARD_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    folder = base / "case"
    kind.prepare(folder)
    outcome_of(lambda: kind.read(folder))  # what is imported late is imported now
    watch = Watch(base / "case", base)
    for number in numbers:
        state[:16] = struct.pack("qd", number, time.monotonic())
        try:
            kind.write(folder, Random(f"{seed}:{kind.name}:{number}"))
        except Exception:  # a value that the format does not have: not an input
            continue
        state[:16] = struct.pack("qd", number, time.monotonic())
        before, started = memory("VmRSS"), time.process_time()
        reset_peak()
        watch.on = True
        outcome, message = outcome_of(lambda: kind.read(folder))
        watch.on = False
        seconds, grown = time.process_time() - started, memory("VmHWM") - before
        broken = watch.taken()
        if seconds > getattr(kind, "most_seconds", MAX_SECONDS):
            broken.append(f"took {seconds:.0f} s")
        if grown > MAX_BYTES and grown > MAX_BYTES + size_of(folder):
            broken.append(f"took {grown / 2**20:.0f} MB beyond what was there")
        if broken:
            outcome, message = "strange", "; ".join(broken)[:500]
        os.write(pipe, json.dumps([number, outcome, message, grown, seconds]).encode() + b"\n")


def _start(work: Callable[[int], None]) -> tuple[int, int]:
    """RETURNS (tuple[int, int]): A forked process, and the end of a pipe that it writes to."""
    reads, writes = os.pipe()
    process = os.fork()
    if process:
        os.close(writes)
        return process, reads
    status = 1
    shown = os.fdopen(os.dup(2), "w")
    try:
        os.close(reads)
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):  # libraries write there when they panic
            os.dup2(null, stream)
        work(writes)
        status = 0
    except BaseException:  # of the soak itself
        traceback.print_exc(file=shown)
        shown.flush()
    finally:
        os._exit(status)


def fuzz(kind: Kind, budget: Budget) -> Figure:
    """RETURNS (Figure): What came of the inputs of one kind; what broke a promise is kept in the budget's folder."""
    figure, started = Figure(kind.name), time.monotonic()
    counts: Counter[str] = Counter()
    faults: dict[str, tuple[int, str]] = {}
    most = [0, 0.0]
    next_number = 0
    with tempfile.TemporaryDirectory(prefix="soak-") as temporary:
        base = Path(temporary).resolve()
        (base / "canary").write_text("no input may open this", "utf8")
        while next_number < budget.inputs and budget.left > 0:
            shutil.rmtree(base / "case", ignore_errors=True)
            (base / "case").mkdir()
            state = mmap.mmap(-1, 16)
            state[:16] = struct.pack("qd", -1, time.monotonic() + 60)  # to prepare
            numbers = range(next_number, budget.inputs)
            process, pipe = _start(lambda w, n=numbers, s=state: _work(kind, base, budget.seed, n, s, w))
            reason = ""
            for number, outcome, message, grown, seconds in _results(process, pipe, state, budget):
                next_number = number + 1
                counts[outcome] += 1
                most = [max(most[0], grown), max(most[1], seconds)]
                if outcome == "strange":
                    same = re.sub(r"\d+ (s|MB)\b", "", message.split(SAID)[0])
                    faults.setdefault(same, (number, message))
            _, status = os.waitpid(process, 0)
            at, since = struct.unpack("qd", state[:16])
            if os.WIFSIGNALED(status) or os.WEXITSTATUS(status):
                if budget.left <= 0 and os.WIFSIGNALED(status) and time.monotonic() - since < MAX_SECONDS:
                    break
                if at < next_number:
                    raise RuntimeError(
                        f"{kind.name}: the worker ended with {status} outside of an input, at {at}"
                    )
                hung = time.monotonic() - since >= MAX_SECONDS
                signals = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else status
                reason = f"hung for {MAX_SECONDS:.0f} s" if hung else f"crashed ({signals})"
                counts["strange"] += 1
                next_number = at + 1
                faults.setdefault(f"{reason} {at}", (at, reason))
    for number, message in faults.values():
        keep(kind, budget, number)
        figure.found.append(f"{kind.name} {number}: {message}")
    figure.tried, figure.seconds = sum(counts.values()), time.monotonic() - started
    figure.notes = {"refused": counts["error"], "read": counts["right"]}
    if counts["strange"]:
        figure.notes["inputs with faults"] = counts["strange"]
    figure.notes |= {"most MB": round(most[0] / 2**20), "longest": f"{most[1]:.1f} s"}
    return figure


def _results(process: int, pipe: int, state: mmap.mmap, budget: Budget) -> Any:
    """YIELDS (list): The outcomes of a worker, which is killed if it hangs or the time is over."""
    os.set_blocking(pipe, False)
    rest = b""
    try:
        while True:
            try:
                data = os.read(pipe, 2**16)
            except BlockingIOError:
                _, since = struct.unpack("qd", state[:16])
                if time.monotonic() - since > MAX_SECONDS or budget.left <= 0:
                    os.kill(process, signal.SIGKILL)
                time.sleep(0.02)
                continue
            if not data:
                return
            if budget.left <= 0:
                os.kill(process, signal.SIGKILL)
            *lines, rest = (rest + data).split(b"\n")
            yield from map(json.loads, lines)
    finally:
        os.close(pipe)


def keep(kind: Kind, budget: Budget, number: int) -> None:
    """Write an input again, to look at it."""
    folder = budget.kept / f"{kind.name.replace(' ', '-')}-{number}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    kind.prepare(folder)
    kind.write(folder, Random(f"{budget.seed}:{kind.name}:{number}"))
