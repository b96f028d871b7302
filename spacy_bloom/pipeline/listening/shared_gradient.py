"""One backward pass for all components that learn from a transformer."""

from collections.abc import Callable, Sequence

from spacy_transformers.data_classes import FullTransformerBatch, TransformerData
from thinc.types import Floats3d


class SharedGradient:
    """Adds up the gradients that listeners give for one batch, and sends them back with the last of them.

    spacy-transformers leaves the backward pass to the listener that is connected last. Where that one is
    frozen, or has no annotation in the batch, the gradients of all others are lost; here they are kept for
    `send`.

    output (FullTransformerBatch): The transformer's output.
    backprop (Callable): Takes the gradient of it.
    n_listeners (int): How many may give a gradient.
    """

    def __init__(self, output: FullTransformerBatch, backprop: Callable, n_listeners: int) -> None:
        self._output = output
        self._backprop = backprop
        self._missing = n_listeners
        self._sums: list[Floats3d] = []
        self.started = False  # whether a listener has given its gradient
        self.sent = False
        self.then: Callable[[], None] | None = None  # what waits for the gradient to be sent

    def add(self, gradients: Sequence[TransformerData]) -> float:
        """Add one listener's gradient, and send all if it was the last.

        gradients (Sequence[TransformerData]): By Doc, without Docs that have no tokens.
        RETURNS (float): Sum of its squares, which spaCy shows as the transformer's loss.
        """
        arrays: list[Floats3d] = [data.model_output["last_hidden_state"] for data in gradients]
        if self._sums:
            for total, array in zip(self._sums, arrays, strict=True):
                total += array
        else:
            self._sums = [array.copy() for array in arrays]
        self.started = True
        self._missing -= 1
        squares = sum((float((array**2).sum()) for array in arrays), 0.0)
        if self._missing == 0:
            self.send()
        return squares

    def send(self) -> None:
        """Run the backward pass for what has been added, once, and then what waits for it."""
        if self.sent:
            return
        self.sent = True
        if self._sums:
            self._backprop(self._output.unsplit_by_doc([[array] for array in self._sums]))
        if self.then is not None:
            self.then()
        del self._output, self._backprop, self._sums, self.then  # they hold the graph of the whole batch
