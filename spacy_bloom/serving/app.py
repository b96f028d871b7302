"""The service as a web application."""

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from ..pipeline.pages.heat_map import DARK_TEXT, LIGHT_TEXT, SCALE
from ..pipeline.pages.marks import COLORS, OTHER_COLORS
from ..pipeline.pages.rendering import make_environment
from .body_limit import BodyLimit
from .messages import Health, Problem, ProcessRequest, ProcessResponse
from .service import RETRY_AFTER, Refusal, Service

TEMPLATES = Path(__file__).parent / "templates"
LOOK_EVERY = 0.5  # seconds, whether a client has gone
T = TypeVar("T")

ENVIRONMENT = make_environment(TEMPLATES)
# Nothing from elsewhere, whatever stands in a text.
SAFE = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "No UTF-8."},
    413: {"model": Problem, "description": "Longer than the service takes."},
    422: {"model": Problem, "description": "Not what is expected, or a text that cannot be processed."},
    500: {"model": Problem, "description": "A text could not be processed."},
    503: {"model": Problem, "description": "No room in the queue, or being stopped; see Retry-After."},
    504: {"model": Problem, "description": "Not done in time."},
}


def make_app(service: Service, *, version: str) -> Any:
    """RETURNS (FastAPI): The application. When it stops, what was taken is finished first."""
    from fastapi import FastAPI, Request, Response
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import HTMLResponse, JSONResponse

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        yield
        service.close()

    # Its pages of documentation load their scripts from elsewhere; /openapi.json does not.
    app = FastAPI(title="spacy_bloom", version=version, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(BodyLimit, limit=service.settings.max_body)
    page, script = render_page(service), (TEMPLATES / "serve.js").read_text(encoding="utf8")

    @app.post("/v1/process", response_model_exclude_none=True, responses=REFUSALS)
    async def process(request: ProcessRequest, connection: Request) -> ProcessResponse:
        """Process one text or many with all parts of the service, or with some."""
        with service.metrics.timed_request():
            response = await unless_gone(service.process(request), connection)
        service.metrics.requests.labels("200").inc()
        return response

    @app.exception_handler(Refusal)
    async def refuse(_: Any, refusal: Refusal) -> JSONResponse:
        service.metrics.requests.labels(str(refusal.status)).inc()
        headers = {"Retry-After": str(RETRY_AFTER)} if refusal.status == 503 else None
        return JSONResponse({"detail": refusal.detail}, refusal.status, headers)

    @app.exception_handler(RequestValidationError)
    async def refuse_invalid(_: Any, error: RequestValidationError) -> JSONResponse:
        # Without what was given: FastAPI's own answer repeats it, which may be long, or no text at all.
        said = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        return await refuse(_, Refusal(422, said))

    @app.get("/health", responses={503: {"model": Health}})
    async def health(response: Response) -> Health:
        """Whether requests are taken."""
        is_open = service.queue.is_open
        response.status_code = 200 if is_open else 503
        status = "ok" if is_open else "stopping"
        return Health(status=status, version=version, parts=list(service.parts.values()))

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        content, media_type = service.metrics.exposition()
        return Response(content, media_type=media_type)

    @app.get("/", include_in_schema=False)
    async def show() -> HTMLResponse:
        return HTMLResponse(page, headers=SAFE)

    @app.get("/serve.js", include_in_schema=False)
    async def get_script() -> Response:
        return Response(script, media_type="text/javascript", headers=SAFE)

    return app


async def unless_gone(result: Coroutine[Any, Any, T], connection: Any) -> T:
    """Wait for a result as long as somebody does.

    connection (Request): The request.
    RETURNS (T): The result.
    RAISES (Refusal): The client has gone, so nobody reads it.
    """
    task = asyncio.ensure_future(result)
    while not task.done():
        await asyncio.wait([task], timeout=LOOK_EVERY)
        if not task.done() and await connection.is_disconnected():
            task.cancel()
            raise Refusal(499, "The client has gone.")
    return task.result()


def render_page(service: Service) -> str:
    """RETURNS (str): The page for people."""
    return ENVIRONMENT.get_template("serve.html").render(
        title="spacy_bloom",
        parts=list(service.parts.values()),
        answers_questions=any(part.answers_questions for part in service.parts.values()),
        max_length=service.settings.max_length,
        scale=SCALE,
        inks=(DARK_TEXT, LIGHT_TEXT),
        grounds=json.dumps({"labels": COLORS, "others": OTHER_COLORS}),
    )
