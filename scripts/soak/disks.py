"""Disks that are full or cannot be written, files that shrink while they are mapped, and two writers at a time."""

import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch

from spacy_bloom import BloomForCausalLM
from spacy_bloom.errors import BloomError
from spacy_bloom.pipeline.saving import save_pipeline

from . import _tiny
from ._killing import run_forked, wait_for
from .faults import NEW, OLD, Replaced, converted, saved_pipeline, tree, trimmed
from .figures import Budget, Figure

DISK = 6 * 2**20  # bytes
Make = Callable[[Path], tuple[Replaced, Path]]


def soak(budget: Budget) -> Iterator[Figure]:
    """YIELDS (Figure): Of each kind of disk."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    kinds: dict[str, Callable[[Budget, Path], Figure]] = {}
    for name, make in JOBS.items():
        kinds[f"full disk in {name}"] = partial(full, f"full disk in {name}", make)
        kinds[f"two writers of {name}"] = partial(two_writers, f"two writers of {name}", make)
    kinds["a folder that cannot be written"] = read_only
    kinds["a mapped file that shrinks"] = shrinking
    with tempfile.TemporaryDirectory(prefix="disks-") as folder:
        for number, (kind, run) in enumerate(kinds.items()):
            place = Path(folder) / str(number)
            place.mkdir()
            start = time.monotonic()
            left = len(kinds) - number
            figure = run(budget.part(budget.inputs / len(kinds), budget.left / left), place)
            figure.kind, figure.seconds = kind, time.monotonic() - start
            yield figure


@contextmanager
def small_disk(place: Path) -> Iterator[bool]:
    """A file system of its own. YIELDS (bool): Whether it could be mounted."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(place)]
    mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(place)], check=True)


def full(kind: str, make: Make, budget: Budget, place: Path) -> Figure:
    """The disk is full after a random number of bytes, or a file, where none can be mounted: the old stays."""
    figure, rng, states = Figure(kind), budget.random(kind), Counter[str]()
    with small_disk(place / "disk") as mounted:
        job, before = make(place / "disk")
        job.learn(before)
        size = sum(map(len, job.new.values()))
        while budget.left > 0 and figure.tried < budget.inputs:
            figure.tried += 1
            room = rng.randrange(1, size)
            job.reset(before)
            filler = place / "disk" / "filler"
            if mounted:
                _fill(filler, room)
            work = job.write if mounted else partial(_limited, job.write, room // 4)
            code = run_forked(work, root=place)
            filler.unlink(missing_ok=True)
            state = job.state()
            states[f"{state}, exit code {code}"] += 1
            left = [path.name for path in job.path.parent.glob(f".{job.path.name}*")]
            if state != (NEW if code == 0 else OLD) or code < 0 or left:
                figure.found.append(f"{kind}, {room} bytes: exit code {code}, {state}, left {left}")
    figure.notes = {"of a disk of its own": mounted, **states}
    return figure


def _fill(path: Path, room: int) -> None:
    free = os.statvfs(path.parent)
    with path.open("wb") as file:
        file.write(b"x" * max(free.f_bavail * free.f_frsize - room, 0))


def _limited(work: Callable[[], object], room: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # an error instead of an end
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    work()


def two_writers(kind: str, make: Make, budget: Budget, place: Path) -> Figure:
    """Two processes write at the same time, one of them something else; one of the two is there at the end, whole."""
    figure, rng, states = Figure(kind), budget.random(kind), Counter[str]()
    job, before = make(place)
    seconds, _ = job.learn(before)
    restore = partial(job.restore, before)
    assert run_forked(restore, root=place) == 0
    job.old = tree(job.path)
    while budget.left > 0 and figure.tried < budget.inputs:
        figure.tried += 1
        pids = []
        for work in rng.sample([job.write, restore], 2):
            pid = os.fork()
            if not pid:
                code = 1
                try:
                    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
                    work()
                    code = 0
                finally:
                    os._exit(code)
            pids.append(pid)
            time.sleep(rng.uniform(0, seconds / 2))
        codes = [wait_for(pid) for pid in pids]
        state = job.state()
        states[state] += 1
        if state not in (OLD, NEW) or any(codes):
            figure.found.append(f"{kind}: {state}, exit codes {codes}")
    figure.notes = dict(states)
    return figure


def read_only(budget: Budget, place: Path) -> Figure:
    """Every writer ends with an error of the system or of ours, and changes nothing."""
    figure = Figure("read only")
    with small_disk(place / "disk") as mounted:
        if not mounted:
            figure.notes["not tried"] = "no file system can be mounted"
            return figure
        for make in JOBS.values():
            job, before = make(place / "disk" / f"{figure.tried}")
            job.learn(before)
            job.reset(before)
            subprocess.run(["mount", "-o", "remount,ro", str(place / "disk")], check=True)
            code = run_forked(partial(_refused, job.write), root=place)
            subprocess.run(["mount", "-o", "remount,rw", str(place / "disk")], check=True)
            figure.tried += 1
            if code or job.state() != OLD:
                figure.found.append(f"read only: exit code {code}, {job.state()}")
    return figure


def _refused(work: Callable[[], object]) -> None:
    try:
        work()
    except (OSError, BloomError):
        return
    raise AssertionError("it was written")


def shrinking(budget: Budget, place: Path) -> Figure:
    """Weights whose file is cut off after they were mapped. The system ends a process that reads there (SIGBUS), and
    docs/robustness.md says so; a file that was cut off before is an error, and one that is replaced as we do it
    goes on to be read.
    """
    figure, rng, states = Figure("shrinking"), budget.random("shrinking"), Counter[str]()
    source = _tiny.write_checkpoint(place / "source", hidden_size=256)
    whole = (source / "model.safetensors").read_bytes()
    ways = {"cut before": (0, 1), "cut after": (0, -signal.SIGBUS), "replaced after": (0,)}
    while budget.left > 0 and figure.tried < min(budget.inputs, 60):
        for way, expected in ways.items():
            target = place / "checkpoint"
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source, target)
            at = rng.randrange(len(whole))
            code = run_forked(partial(_read_shrinking, target, way, at), root=place)
            figure.tried += 1
            states[f"{way}: {code}"] += 1
            if code not in expected:
                figure.found.append(f"shrinking, {way} at {at}: exit code {code}")
    figure.notes = dict(states)
    return figure


def _read_shrinking(path: Path, way: str, at: int) -> None:
    file = path / "model.safetensors"
    if way == "cut before":
        os.truncate(file, at)
        _refused(lambda: BloomForCausalLM.from_pretrained(path))
        return
    model = BloomForCausalLM.from_pretrained(path)
    if way == "cut after":
        os.truncate(file, at)
    else:
        _tiny.write_checkpoint(path, seed=9, hidden_size=128)
    assert sum(float(p.sum()) for p in model.parameters()) != 0


JOBS: dict[str, Make] = {
    "save_pipeline": partial(saved_pipeline, save_pipeline),
    "convert": converted,
    "trim-vocab": trimmed,
}
