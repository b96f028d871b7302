"""How commands end when they were given what they cannot use."""

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from wasabi import Printer

from ..errors import BloomError, InputError


def ending_with_message(command: Callable[..., None]) -> Callable[..., None]:
    """RETURNS (Callable): The command; bad input, or files that cannot be read or written, end the process with a
    message on the standard error, as the standard output may be a file of results.
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
    """Make the folder of a file that is to be written, before the work that fills it.

    path (Path | None): The file; None or "-" for none.
    RAISES (InputError): A folder stands there.
    RAISES (OSError): The folder cannot be made.
    """
    if path is None or str(path) == "-":
        return
    if path.is_dir():
        raise InputError(f"Expected {path} to be a file or a new name, got a folder.")
    path.parent.mkdir(parents=True, exist_ok=True)


def _fail(text: str) -> None:
    print(Printer(no_print=True).fail(text), file=sys.stderr)
    raise SystemExit(1)
