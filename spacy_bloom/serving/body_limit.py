"""A limit on the bytes of a request, before they are in memory."""

from collections.abc import Awaitable, Callable
from typing import Any

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

TOO_LARGE = b'{"detail":"Expected a request of at most %d bytes. Send fewer texts at a time."}'


class BodyLimit:
    """ASGI middleware that answers 413 to a larger body, whether its length is announced or not.

    app (App): The application.
    limit (int): Bytes of a body.
    """

    def __init__(self, app: App, limit: int) -> None:
        self.app, self.limit = app, limit

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Read the body, and hand it on as one message."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        body = b"" if announced.isdigit() and int(announced) <= self.limit else None
        more = True
        while body is not None and more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self.limit:
                body = None
        if body is None:
            await self._refuse(send)
            return
        await self.app(scope, _receiving(body, receive), send)

    async def _refuse(self, send: Send) -> None:
        headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": TOO_LARGE % self.limit})


def _receiving(body: bytes, receive: Receive) -> Receive:
    """RETURNS (Receive): Gives the body, and then what comes after it, as the end of the connection."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> dict[str, Any]:
        return waiting.pop() if waiting else await receive()

    return next_message
