"""The web server around the application."""

import signal
import sys
from typing import Any

from ..errors import InputError


def check_installed() -> None:
    """RAISES (InputError): What the service needs is not installed."""
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"The service needs {error.name}. Install it with: pip install spacy-bloom[serve]"
        ) from None


def run_server(app: Any, *, host: str, port: int, grace: float) -> None:
    """Serve until SIGTERM or SIGINT. Connections are then no longer taken, and requests that were taken are answered.

    grace (float): Seconds that they get.
    """
    import uvicorn

    # uvicorn raises the signal again when it is done: this makes it an end without an error.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    uvicorn.run(app, host=host, port=port, timeout_graceful_shutdown=round(grace), server_header=False)
