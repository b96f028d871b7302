"""How commands end when their input cannot be used or their output cannot be written."""

import sys
import tempfile
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from wasabi import Printer

from ..errors import BloomError, InputError


def ending_with_message(command: Callable[..., None]) -> Callable[..., None]:
    """RETURNS (Callable): The command; bad input, or files that cannot be read or written, end the process with a
    message on the standard error, because the standard output may be a file of results.
    """

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except BloomError as error:
            _fail(str(error))
        except BrokenPipeError:  # nobody reads any more, as after `| head`
            raise
        except OSError as error:
            _fail(f"A file cannot be read or written: {error}.")

    return run


def check_file(path: Path | None) -> None:
    """Make sure that a file can be written, before the work whose results it is for. Its folder is made.

    path (Path | None): The file; None or "-" for none.
    RAISES (InputError): It is a folder, or cannot be written.
    RAISES (OSError): The folder cannot be made.
    """
    if path is None or str(path) == "-":
        return
    if path.is_dir():
        raise InputError(f"Expected {path} to be a file or a new name, got a folder.")
    path.parent.mkdir(parents=True, exist_ok=True)
    _try_to_write(path if path.exists() else path.parent)


def check_folder(path: Path) -> None:
    """Make sure that files can be written to a folder, before the work whose results they are. Nothing is made.

    RAISES (InputError): The folder, or the nearest one above it, is a file or cannot be written.
    """
    existing = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not existing.is_dir():
        raise InputError(f"Expected {path} to be a folder or a new name, got the file {existing}.")
    _try_to_write(existing)


def _try_to_write(path: Path) -> None:
    """Open a file, or a temporary one in a folder: permissions alone do not tell whether a disk takes files."""
    try:
        with tempfile.TemporaryFile(dir=path) if path.is_dir() else path.open("ab"):
            pass
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}). Change its permissions or choose another place."
        ) from None


def _fail(text: str) -> None:
    print(Printer(no_print=True).fail(text), file=sys.stderr)
    raise SystemExit(1)
