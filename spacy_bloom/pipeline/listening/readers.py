"""Who is going to read a transformer's output, so that it can leave the Docs when all have."""

import weakref
from typing import Any

from spacy.language import Language
from spacy_transformers.layers import TransformerListener
from spacy_transformers.pipeline_component import Transformer
from thinc.api import Model


class Readers:
    """Knows the pipeline of a transformer and all listeners that were ever connected to it.

    It holds none of them in memory, and a pickled or copied component starts without them.

    nlp (Language | None): The pipeline that the transformer was made for.
    """

    def __init__(self, nlp: Language | None = None) -> None:
        self._nlp = None if nlp is None else weakref.ref(nlp)
        self._connected: weakref.WeakSet[TransformerListener] = weakref.WeakSet()

    def __reduce__(self) -> tuple[type, tuple]:
        return Readers, ()

    def connect(self, listener: TransformerListener) -> None:
        """Remember a listener, for as long as it lives."""
        self._connected.add(listener)

    def disconnect(self, listener: TransformerListener) -> None:
        """Forget a listener."""
        self._connected.discard(listener)

    def learning(self, transformer: Transformer) -> list[TransformerListener]:
        """RETURNS (list[TransformerListener]): The connected listeners that can learn: those of enabled components."""
        expected = self.expected(transformer)
        if expected is None:
            return transformer.listeners
        return [listener for listener in transformer.listeners if any(listener is one for one in expected)]

    def expected(self, transformer: Transformer) -> list[TransformerListener] | None:
        """The listeners of enabled components after the transformer; all connected ones without a pipeline.

        RETURNS (list[TransformerListener] | None): None if it cannot be told, because another pipeline
            shares the transformer.
        """
        nlp = None if self._nlp is None else self._nlp()
        enabled = [] if nlp is None else [pipe for _, pipe in nlp.pipeline]
        if nlp is None or not any(pipe is transformer for pipe in enabled):
            return transformer.listeners
        own = {node.id for _, pipe in nlp.components for node in listeners_in(pipe, transformer.name)}
        if any(listener.id not in own for listener in self._connected):
            return None
        place = next(i for i, pipe in enumerate(enabled) if pipe is transformer)
        return [node for pipe in enabled[place + 1 :] for node in listeners_in(pipe, transformer.name)]


def listeners_in(pipe: Any, upstream_name: str) -> list[TransformerListener]:
    """RETURNS (list[TransformerListener]): The layers of a component that listen to a transformer."""
    model = getattr(pipe, "model", None)
    nodes = model.walk() if isinstance(model, Model) else []
    return [
        n for n in nodes if isinstance(n, TransformerListener) and n.upstream_name in ("*", upstream_name)
    ]
