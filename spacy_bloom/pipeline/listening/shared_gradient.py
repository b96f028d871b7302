"""One backward pass for all components that learn from a transformer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from spacy.tokens import Doc
from spacy_transformers.data_classes import FullTransformerBatch, TransformerData
from spacy_transformers.layers import TransformerListener
from thinc.api import Model
from thinc.types import Floats3d

from ...thinc_layers.listener import BloomTransformerListener, LastBatch
from ...thinc_layers.transformer_model import bloom_shim


@dataclass
class _Batch:
    """A batch that listeners learn from.

    docs (list[Doc]): The Docs.
    output (FullTransformerBatch): The transformer's output for them.
    backprop (Callable | None): Takes the gradient of it; None once that was sent.
    listeners (Sequence[TransformerListener]): Those that may give a gradient.
    sums (list[Floats3d]): The gradients that were given, added up, by Doc.
    missing (int): How many listeners have not given theirs.
    step (Callable | None): The optimizer's step, if it waits for the gradients.
    """

    docs: list[Doc]
    output: FullTransformerBatch
    backprop: Callable | None
    listeners: Sequence[TransformerListener]
    sums: list[Floats3d] = field(default_factory=list)
    missing: int = 0
    step: Callable[[], None] | None = None


class SharedGradient:
    """Owns the gradient that listeners share, from the transformer's output to the optimizer's step.

    The backward pass runs once, for the sum of all gradients, when the last listener has given its own.
    spacy-transformers leaves it to the listener that is connected last, and loses all gradients where that one is
    frozen or has no annotation in the batch. Who is frozen is not known here: `nlp.update(exclude=...)` tells the
    components nothing. So what was given is sent at the latest before anybody sees the weights: the shim calls
    `settle` and `close` itself. A copy starts without a batch.

    model (Model): The transformer's model.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._batch: _Batch | None = None

    def __reduce__(self) -> tuple[type, tuple]:
        self.close()
        return SharedGradient, (self._model,)

    def share(
        self, docs: list[Doc], listeners: Sequence[TransformerListener], add_loss: Callable[[float], Any]
    ) -> None:
        """Run the transformer on a batch, and hand its output to the listeners.

        add_loss (Callable): Takes the sum of squares of each listener's gradient, which spaCy shows as the loss.
        """
        self.close()
        output, backprop = self._model.begin_update(docs)
        self._batch = batch = _Batch(docs, output, backprop, listeners, missing=len(listeners))
        bloom_shim(self._model).pending = self

        def learn(gradients: Sequence[TransformerData]) -> list[Doc]:
            add_loss(self._add(batch, gradients))
            return []  # Docs have no gradient; layers that join models add lists

        batch_id = TransformerListener.get_batch_id(docs)
        last = LastBatch(docs, lambda docs: self._model.predict(docs).doc_data)
        for listener in listeners:
            listener.receive(batch_id, output.doc_data, learn)
            if isinstance(listener, BloomTransformerListener):
                listener.last_batch = last

    def finish(self, step: Callable[[], None]) -> None:
        """Run an optimizer's step, once there are gradients: `nlp.update` asks for it before the listeners learn."""
        if self._batch is not None and self._batch.backprop is not None and not self._batch.sums:
            self._batch.step = step
        else:
            self.close()
            step()

    def settle(self) -> None:
        """Send what was given, and run the step that waits for it: somebody is about to see the weights. Listeners
        may still come, if that happens in the middle of an update.
        """
        if self._batch is not None and self._batch.sums:
            self._send(self._batch)

    def close(self) -> None:
        """Send what was given, run the step that waits, and forget the batch: no listener will come any more."""
        batch, self._batch = self._batch, None
        if batch is not None:
            bloom_shim(self._model).pending = None
            self._send(batch)
            for listener in batch.listeners:
                listener.receive(None, None, None)

    def _add(self, batch: _Batch, gradients: Sequence[TransformerData]) -> float:
        """Add one listener's gradient. gradients (Sequence[TransformerData]): By Doc with tokens.
        RETURNS (float): Sum of its squares.
        """
        arrays: list[Floats3d] = [data.model_output["last_hidden_state"] for data in gradients]
        if batch.backprop is None:  # somebody has seen the weights since: the graph is gone
            batch.output, batch.backprop = self._model.begin_update(batch.docs)
        if batch.sums:
            for total, array in zip(batch.sums, arrays, strict=True):
                total += array
        else:
            batch.sums = [array.copy() for array in arrays]
        batch.missing -= 1
        if batch.missing == 0:
            self.close()
        return sum((float((array**2).sum()) for array in arrays), 0.0)

    def _send(self, batch: _Batch) -> None:
        backprop, sums, step = batch.backprop, batch.sums, batch.step
        batch.backprop, batch.sums, batch.step = None, [], None
        if backprop is not None and sums:
            backprop(batch.output.unsplit_by_doc([[array] for array in sums]))
        if step is not None:
            step()
