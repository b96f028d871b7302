"""How our components run over a stream."""

import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from spacy.pipeline.trainable_pipe import TrainablePipe
from spacy.tokens import Doc
from spacy.util import minibatch

from ...errors import RankError

logger = logging.getLogger(__name__)


def pipe_batches(pipe: TrainablePipe, stream: Iterable[Doc], batch_size: int) -> Iterator[Doc]:
    """Predict and annotate batch by batch. A batch that fails is halved and tried again, and its halves likewise, so
    that only the Docs that fail by themselves reach the component's error handler, and the rest goes on: be it that
    a Doc is bad, or that memory does not suffice for so many.

    YIELDS (Doc): The Docs in order, without those that failed.
    """
    for batch in minibatch(stream, batch_size):
        docs = list(batch)
        yield from annotate(pipe, docs, partial(pipe.predict, docs))


def annotate(pipe: TrainablePipe, docs: list[Doc], predict: Callable[[], Any]) -> list[Doc]:
    """Predict and annotate one batch; see `pipe_batches`.

    predict (Callable[[], Any]): Predicts for the whole batch.
    RETURNS (list[Doc]): The Docs in order, without those that failed.
    """
    read = [_transformer_output(doc) for doc in docs]
    try:
        pipe.set_annotations(docs, predict())
        return docs
    except RankError:
        raise  # nothing can be predicted any more
    except Exception as raised:
        if len(docs) <= 1:
            pipe.get_error_handler()(pipe.name, pipe, docs, raised)
            return []
        logger.info("%s: a batch of %d Docs failed and is halved (%r)", pipe.name, len(docs), raised)
        for doc, output in zip(docs, read, strict=True):
            if output is not None:
                doc._.trf_data = output  # the attempt that failed may have been its last reader
    # Past the handler, where the error and the tensors in its frames are let go of: memory may be what was missing.
    half = (len(docs) + 1) // 2
    return [
        doc
        for part in (docs[:half], docs[half:])
        for doc in annotate(pipe, part, partial(pipe.predict, part))
    ]


def _transformer_output(doc: Doc) -> Any:
    return doc._.trf_data if Doc.has_extension("trf_data") else None
