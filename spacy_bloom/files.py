"""Reading JSON, and writing files so that a name always stands for a complete file."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import ConfigError

CHUNK = 2**20  # bytes of each file that are compared at once


def read_json(path: Path) -> Any:
    """RETURNS (Any): The content of a JSON file of a checkpoint.
    RAISES (ConfigError): The file is missing or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf8"))
    except FileNotFoundError:
        raise ConfigError(
            f"No {path.name} in {path.parent}. Expected a checkpoint in the Hugging Face layout."
        ) from None
    except (ValueError, RecursionError) as error:  # also no UTF-8, numbers of 5,000 digits
        raise ConfigError(f"{path} is not JSON: {error}.{found_instead(path)}") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from None


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
    """Write several files that belong together: none takes its name before all are complete.

    folder (Path): A directory that exists.
    before (Callable): Called with the files, in order, when all are complete and none has its name.
    YIELDS (Callable[[str], Path]): Given a file's name, returns the path to write to. The files take their names in
        the order of these calls.
    """
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
    """Bring renames to the disk, where directories can be opened (not on Windows)."""
    if os.name == "posix":
        directory = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
