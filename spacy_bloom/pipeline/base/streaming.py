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
    """Predict and annotate batch by batch. A batch that fails is taken Doc by Doc, so that only the Docs
    that fail by themselves reach the component's error handler, and the rest goes on.

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
    except RankError:
        raise  # nothing can be predicted any more
    except Exception as error:
        for doc, output in zip(docs, read, strict=True):
            if output is not None:
                doc._.trf_data = output  # the attempt that failed may have been its last reader
        return list(_one_by_one(pipe, docs, error))
    return docs


def _transformer_output(doc: Doc) -> Any:
    return doc._.trf_data if Doc.has_extension("trf_data") else None


def _one_by_one(pipe: TrainablePipe, docs: list[Doc], error: Exception) -> Iterator[Doc]:
    handle = pipe.get_error_handler()
    if len(docs) == 1:
        handle(pipe.name, pipe, docs, error)
        return
    logger.info("%s: a batch of %d Docs failed and is taken Doc by Doc (%r)", pipe.name, len(docs), error)
    for doc in docs:
        try:
            pipe.set_annotations([doc], pipe.predict([doc]))
        except RankError:
            raise
        except Exception as doc_error:
            handle(pipe.name, pipe, [doc], doc_error)
        else:
            yield doc
