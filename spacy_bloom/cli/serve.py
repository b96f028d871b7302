"""`python -m spacy bloom serve`: a page and JSON over HTTP."""

from importlib.metadata import version
from typing import Optional

from spacy.cli._util import Arg, Opt, setup_gpu
from wasabi import msg

from ..serving.app import make_app
from ..serving.parts import ANSWERS, annotating_part, language_model_parts
from ..serving.server import check_installed, run_server
from ..serving.service import Service
from ..serving.settings import ServingSettings
from .inputs import load_pipeline

DEFAULTS = ServingSettings()


def serve_cli(
    pipeline: str = Arg(..., help="Trained pipeline: a directory, a package or a bundled name"),
    answerer: Optional[str] = Opt(None, "--answerer", "-a", help="Another pipeline, which answers questions: likewise"),
    model: Optional[str] = Opt(None, "--model", "-m", help="Language model for continuations and surprisal: a bundled name, a directory or a Hub name"),
    host: str = Opt("127.0.0.1", "--host", "-h", help="Address to listen on; 0.0.0.0 for all, behind a proxy that knows who may come in"),
    port: int = Opt(8000, "--port", "-p", help="Port to listen on", min=0, max=65535),
    max_length: int = Opt(DEFAULTS.max_length, "--max-length", "-l", help="Characters of a text or question", min=1),
    max_texts: int = Opt(DEFAULTS.max_texts, "--max-texts", "-t", help="Texts in a request", min=1),
    max_queue: int = Opt(DEFAULTS.max_queue, "--max-queue", "-q", help="Characters that may wait", min=1),
    batch_length: int = Opt(DEFAULTS.batch_length, "--batch-length", "-B", help="Characters that are processed together", min=1),
    timeout: float = Opt(DEFAULTS.timeout, "--timeout", "-T", help="Seconds until a request gets an answer, done or not"),
    use_gpu: int = Opt(-1, "--gpu-id", "-g", help="GPU to use, or -1 for the CPU"),
) -> None:  # fmt: skip
    """
    Serve pipelines: a page at / where people paste text in any language, and
    JSON at /v1/process (see /openapi.json), with /health and /metrics. Texts
    that wait are processed together. SIGTERM stops it when what was taken is
    done.
    """
    check_installed()
    settings = ServingSettings(
        max_length=max_length,
        max_texts=max_texts,
        max_queue=max_queue,
        batch_length=batch_length,
        timeout=timeout,
    )
    setup_gpu(use_gpu)
    parts = [annotating_part(load_pipeline(pipeline))]
    if answerer is not None:
        parts.append(annotating_part(load_pipeline(answerer), ANSWERS))
    if model is not None:
        parts.extend(language_model_parts(model))
    service = Service({part.name: (part, nlp) for part, nlp in parts}, settings)
    service.warm_up()
    msg.good(f"Serving {', '.join(service.parts)}", f"http://{host}:{port}")
    run_server(make_app(service, version=version("spacy-bloom")), host=host, port=port, grace=timeout)
