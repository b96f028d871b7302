"""Reading JSON, and writing files and folders so that a name always stands for something complete."""

import ctypes
import errno
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from .errors import ConfigError, InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

MAX_DEPTH = 64  # of JSON
CHUNK = 2**20  # bytes of each file that are compared at once
WAIT = 60.0  # seconds for another process that writes to the same folder
# SOURCE: Linux, include/uapi/linux/fcntl.h and fs.h.
AT_FDCWD, RENAME_EXCHANGE = -100, 2

_writing: set[tuple[int, int, int, int]] = set()  # process, thread, and the folder's device and number


def read_json(path: Path) -> Any:
    """RETURNS (Any): The content of a JSON file of a checkpoint.
    RAISES (ConfigError): The file is missing or not JSON.
    """
    try:
        values = json.loads(path.read_text(encoding="utf8"))
    except FileNotFoundError:
        raise ConfigError(
            f"No {path.name} in {path.parent}. Expected a checkpoint in the Hugging Face layout."
        ) from None
    except (ValueError, RecursionError) as error:  # also no UTF-8, numbers of 5,000 digits
        raise ConfigError(f"{path} is not JSON: {error}.{found_instead(path)}") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from None
    check_depth(values, str(path))
    return values


def check_depth(values: Any, where: str) -> None:
    """Check what JSON holds before it is copied, shown and written, which all end in errors where it is too deep.

    values (Any): Of JSON.
    where (str): Where it is from, for the error.
    RAISES (ConfigError): Lists and objects are inside of each other more than MAX_DEPTH times.
    """
    level = [values]
    for _ in range(MAX_DEPTH):
        level = [part for value in level for part in _parts_of(value)]
    if level:
        raise ConfigError(f"Expected {where} to be nested at most {MAX_DEPTH} times, got more.")


def _parts_of(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def found_instead(path: Path) -> str:
    """RETURNS (str): What a failed download left in place of a file, and what to do, to end an error; "" if unknown."""
    try:
        with path.open("rb") as file:
            start = file.read(200).lstrip().lower()
    except OSError:
        return ""
    if not start:
        return " The file is empty: download it again."
    if start.startswith(b"version https://git-lfs.github.com/spec/"):
        return " It is a pointer of git-lfs, not the file itself: run `git lfs pull` there, or download the file."
    if start.startswith((b"<!doctype html", b"<html")):
        return " It is a web page: download the file itself."
    return ""


def to_json(values: Any) -> str:
    """RETURNS (str): JSON with sorted keys, so that equal values are equal bytes."""
    return json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8 and with the line ends it has, on every system."""
    path.write_text(text, encoding="utf8", newline="")


def partial_path(path: Path) -> Path:
    """RETURNS (Path): Where a file is until it is complete: beside it, as only there a rename is atomic. The name is
    the same every time, so that the next write replaces what a killed process has left.
    """
    return path.with_name(f".{path.name}.partial")


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file in one step: whoever opens it finds the old content or the new, also after a crash.

    path (Path): In a directory that exists.
    """
    with replacing(path) as partial:
        if isinstance(content, str):
            write_text(partial, content)
        else:
            partial.write_bytes(content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """As `write_file`, for libraries that write to a path: theirs is the one that is yielded.

    path (Path): In a directory that exists.
    YIELDS (Path): To be written; takes the name of `path` at the end, and is removed after an error.
    """
    with replacing_together(path.parent) as create:
        yield create(path.name)


@contextmanager
def replacing_together(
    folder: Path, *, before: Callable[[Sequence[Path]], object] = lambda paths: None
) -> Iterator[Callable[[str], Path]]:
    """Write several files that belong together: none takes its name before all are complete. Another process that
    writes to the folder is waited for.

    folder (Path): A directory that exists.
    before (Callable): Called with the files, in order, when all are complete and none has its name.
    YIELDS (Callable[[str], Path]): Given a file's name, returns the path to write to. The files take their names in
        the order of these calls.
    RAISES (InputError): Another process writes to the folder all the time.
    """
    with writing_alone(folder):
        yield from _replacing_together(folder, before)


def _replacing_together(
    folder: Path, before: Callable[[Sequence[Path]], object]
) -> Iterator[Callable[[str], Path]]:
    taken: list[Path] = []
    # As the user's umask has them; safetensors makes files that only their owner can read.
    modes: list[int] = []

    def create(name: str) -> Path:
        partial = partial_path(folder / name)
        taken.append(folder / name)
        partial.touch()
        modes.append(partial.stat().st_mode)
        return partial

    try:
        yield create
        for path, mode in zip(taken, modes, strict=True):
            partial_path(path).chmod(mode)
            _flush(partial_path(path))
        before(taken)
        for path in taken:
            _take_name(path)
        _flush_names(folder)
    finally:
        for path in taken:
            partial_path(path).unlink(missing_ok=True)


def _take_name(path: Path) -> None:
    """Rename a partial file, unless the file there is equal already: Windows cannot replace a file that is mapped, as
    weights are by whoever has loaded them.
    """
    partial = partial_path(path)
    if not (path.is_file() and _are_equal(partial, path)):
        os.replace(partial, path)


def _are_equal(one: Path, other: Path) -> bool:
    """RETURNS (bool): Whether two files hold the same bytes."""
    if one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as first, other.open("rb") as second:
        while chunk := first.read(CHUNK):
            if chunk != second.read(CHUNK):
                return False
    return True


def _flush(path: Path) -> None:
    """Bring content to the disk: without it, a crash may leave the new name with nothing behind it."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _flush_names(folder: Path) -> None:
    """Bring renames in a folder to the disk, or a file's content, where both can be opened to read (not on Windows)."""
    if os.name == "posix":
        directory = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


@contextmanager
def writing_alone(folder: Path, *, wait: float = WAIT) -> Iterator[None]:
    """Write to a folder while no other process does. The system ends this when the process ends, however it does. A
    thread that writes there already goes on. Windows, and file systems without locks, let all write.

    folder (Path): A directory that exists.
    wait (float): Seconds for another one.
    RAISES (InputError): The other one took longer.
    """
    if fcntl is None:
        yield
        return
    place = os.open(folder, os.O_RDONLY)
    try:
        found = os.fstat(place)
        key = (os.getpid(), threading.get_ident(), found.st_dev, found.st_ino)
        if key in _writing:
            yield
            return
        _lock(place, folder, wait)
        _writing.add(key)
        try:
            yield
        finally:
            _writing.discard(key)
    finally:
        os.close(place)


def _lock(place: int, folder: Path, wait: float) -> None:
    end = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > end:
                raise InputError(
                    f"Another process writes to {folder}. Wait for it, or choose another folder."
                ) from None
            time.sleep(0.02)
        except OSError:
            return  # there are no locks here, as in some file systems of networks


@contextmanager
def replacing_folder(path: Path, *, in_one_step: bool = False) -> Iterator[Path]:
    """A folder that takes its name when it is complete and on the disk: whoever looks finds the old one or the new one,
    also after a crash. Where a system cannot exchange two names (Windows, some file systems of networks), the old one
    has the name with ".old" for a moment; if the process is ended there, the next call gives it its name back.

    path (Path): The folder, which may exist, in a directory that exists.
    in_one_step (bool): Only where two names can be exchanged.
    YIELDS (Path): An empty folder to be filled, or to be removed and made anew.
    RAISES (InputError): Another process writes the same folder all the time.
    RAISES (OSError): With in_one_step, before anything is yielded and with the number ENOTSUP: they cannot.
    """
    partial, old = partial_path(path), path.with_name(f".{path.name}.old")
    with ExitStack() as locks:
        _make_alone(partial, locks)
        _tidy(path, old)
        try:
            if in_one_step:
                _expect_exchange(partial, old)
            yield partial
            for file in (*partial.rglob("*"), partial):
                if file.is_file() or file.is_dir():
                    _flush_names(file)
            # It has the partial one's name soon, and is not to be filled by another process then.
            if path.is_dir():
                locks.enter_context(writing_alone(path))
            _put_in_place(partial, path, old)
            _flush_names(path.parent)
        finally:
            _tidy(path, old)
            shutil.rmtree(partial, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """Remove a folder in one step, as far as its name tells; a process that is ended meanwhile leaves no half of it."""
    partial = partial_path(path)
    shutil.rmtree(partial, ignore_errors=True)
    os.replace(path, partial)
    shutil.rmtree(partial)


def _make_alone(partial: Path, locks: ExitStack) -> None:
    """Make an empty folder that no other process fills."""
    while True:
        partial.mkdir(exist_ok=True)
        with ExitStack() as own:
            try:
                before = partial.stat()
                own.enter_context(writing_alone(partial))
                if os.path.samestat(before, partial.stat()):
                    locks.push(own.pop_all())
                    break
            except FileNotFoundError:
                pass  # the one that was waited for has given it a name, or removed it
    for rest in partial.iterdir():  # of a process that was killed
        shutil.rmtree(rest) if rest.is_dir() and not rest.is_symlink() else rest.unlink()


def _put_in_place(partial: Path, path: Path, old: Path) -> None:
    if not path.exists():
        os.replace(partial, path)
    elif not _exchange(partial, path):
        os.replace(path, old)
        os.replace(partial, path)


def _exchange(one: Path, other: Path) -> bool:
    """Let two names change places in one step. RETURNS (bool): Whether the system can do that."""
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    names = [os.fsencode(path) for path in (one, other)]
    if call(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), str(other))


def _expect_exchange(partial: Path, old: Path) -> None:
    """RAISES (OSError): These two names cannot be exchanged, which is tried there and back with empty folders."""
    old.mkdir()
    try:
        if not (_exchange(partial, old) and _exchange(partial, old)):
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP), str(partial))
    finally:
        old.rmdir()


def _tidy(path: Path, old: Path) -> None:
    """Remove what has been replaced; what has not gets its name back."""
    if old.exists() and not path.exists():
        os.replace(old, path)
    shutil.rmtree(old, ignore_errors=True)
