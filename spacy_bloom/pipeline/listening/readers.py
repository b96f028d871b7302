"""Who is going to read a transformer's output, so that it can leave the Docs when all have."""

import weakref
from collections.abc import Iterable
from typing import Any

from spacy.language import Language
from spacy.vocab import Vocab
from spacy_transformers.layers import TransformerListener
from spacy_transformers.pipeline_component import Transformer
from thinc.api import Model

from ..base.renaming import rename_upstream


class Readers:
    """Knows the pipeline of a transformer, and the listeners of other pipelines that share it: spaCy sources components
    without copying them. A Doc is of the pipeline whose vocabulary it has.

    It holds none of them in memory, and a pickled or copied component starts without them.

    nlp (Language | None): The pipeline that the transformer was made for.
    """

    def __init__(self, nlp: Language | None = None) -> None:
        self._nlp = None if nlp is None else weakref.ref(nlp)
        # In pipelines that linked before the last; in others of our vocabulary; those that name the transformer.
        self._elsewhere: weakref.WeakSet[TransformerListener] = weakref.WeakSet()
        self._indistinct: weakref.WeakSet[TransformerListener] = weakref.WeakSet()
        self._named: weakref.WeakSet[TransformerListener] = weakref.WeakSet()
        # Ids of the components after the transformer, when its own pipeline linked them last.
        self._own: list[int] = []
        self._links = _Links()

    def __reduce__(self) -> tuple[type, tuple]:
        return Readers, ()

    def connect(self, component: Any, transformer: Transformer) -> None:
        """Note a component that stands after the transformer: a pipeline that changes tells of all, one by one."""
        if self._links.map is not transformer.listener_map:  # spaCy clears it before it links a pipeline
            self._elsewhere.update(self._foreign)
            self._own = self._links.own if self._links.are_own else self._own
            self._links = _Links(transformer.listener_map)
        nlp, listeners = self._pipeline(transformer), listeners_in(component, transformer.name)
        self._named.update(listener for listener in listeners if listener.upstream_name != "*")
        self._links.add(component, listeners, [] if nlp is None else _after(transformer, nlp))
        is_own = nlp is None or any(pipe is component for _, pipe in nlp.components)
        if not is_own and nlp is not None and getattr(component, "vocab", None) is nlp.vocab:
            self._indistinct.update(listeners)

    def follow_name(self, component: Any, name: str) -> None:
        """Let the listeners of a component that name the transformer use the name that it has now."""
        nlp = None if self._nlp is None else self._nlp()
        for listener in listeners_in(component):
            old = listener.upstream_name
            if listener in self._named and old != name:
                listener.upstream_name = name
                rename_upstream(nlp, component, old, name)

    def learning(self, transformer: Transformer, vocab: Vocab) -> list[TransformerListener]:
        """RETURNS (list[TransformerListener]): The connected listeners that can learn: those of enabled components."""
        expected = self.expected(transformer, vocab)
        if expected is None:
            return transformer.listeners
        return [listener for listener in transformer.listeners if any(listener is one for one in expected)]

    def expected(self, transformer: Transformer, vocab: Vocab) -> list[TransformerListener] | None:
        """The listeners of enabled components after the transformer.

        vocab (Vocab): Of the Docs.
        RETURNS (list[TransformerListener] | None): None if it cannot be told, because another pipeline of the same
            vocabulary shares the transformer.
        """
        nlp = self._pipeline(transformer)
        if nlp is None:
            return transformer.listeners
        if vocab is not nlp.vocab:
            return list({*self._elsewhere, *self._foreign}) or transformer.listeners
        own = {id(node) for _, pipe in nlp.components for node in listeners_in(pipe, transformer.name)}
        if any(id(listener) not in own for listener in self._indistinct):
            return None
        return [node for pipe in _after(transformer, nlp) for node in listeners_in(pipe, transformer.name)]

    @property
    def _foreign(self) -> Iterable[TransformerListener]:
        """RETURNS (Iterable[TransformerListener]): Those that were linked last, if another pipeline did so. One with
        the same components is taken for another if there are others and the transformer's own has not changed.
        """
        is_another = not self._links.are_own or (self._links.own == self._own and len(self._elsewhere))
        return self._links.listeners if is_another else ()

    def _pipeline(self, transformer: Transformer) -> Language | None:
        """RETURNS (Language | None): The transformer's own pipeline, if it still stands there, enabled."""
        nlp = None if self._nlp is None else self._nlp()
        enabled = nlp is not None and any(pipe is transformer for _, pipe in nlp.pipeline)
        return nlp if enabled else None


class _Links:
    """The components that a pipeline links to the transformer, while it does.

    map (dict | None): The transformer's listener_map, one object for each time.
    """

    def __init__(self, listener_map: dict | None = None) -> None:
        self.map = listener_map
        self.listeners: weakref.WeakSet[TransformerListener] = weakref.WeakSet()
        self.own: list[int] = []  # ids of the components that the transformer's own pipeline would link
        self._seen: list[int] = []

    def add(self, component: Any, listeners: Iterable[TransformerListener], own: list[Any]) -> None:
        """own (list[Any]): The components after the transformer in its own pipeline."""
        self.own = [id(pipe) for pipe in own]
        if id(component) not in self._seen:  # nlp.initialize tells of all again
            self._seen.append(id(component))
            self.listeners.update(listeners)

    @property
    def are_own(self) -> bool:
        """RETURNS (bool): Whether the components are those of the transformer's own pipeline."""
        return self._seen == self.own


def listeners_in(pipe: Any, upstream_name: str | None = None) -> list[TransformerListener]:
    """RETURNS (list[TransformerListener]): The layers of a component that listen to a transformer, or to any (None)."""
    model = getattr(pipe, "model", None)
    nodes = model.walk() if isinstance(model, Model) else []
    found = [node for node in nodes if isinstance(node, TransformerListener)]
    return [node for node in found if upstream_name is None or node.upstream_name in ("*", upstream_name)]


def _after(transformer: Transformer, nlp: Language) -> list[Any]:
    """RETURNS (list[Any]): The enabled components of a pipeline after the transformer."""
    enabled = [pipe for _, pipe in nlp.pipeline]
    return enabled[next(i for i, pipe in enumerate(enabled) if pipe is transformer) + 1 :]
