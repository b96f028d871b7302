"""The base of the components that generate and score with a language model, their own or the transformer's."""

import weakref
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from spacy import util
from spacy.language import Language
from spacy.pipeline.pipe import Pipe
from spacy.tokens import Doc
from thinc.api import Config, Model

from ...errors import ConfigError
from ...generation.causal_lm import BloomForCausalLM
from ...thinc_layers.language_model import LanguageModelShim, language_model_on
from ...thinc_layers.saved_layers import reading
from ...thinc_layers.weights.shim import BloomShim
from ...tokenizer import BloomTokenizerFast
from ..saving import component_folder
from .renaming import rename_upstream
from .streaming import pipe_batches

DEFAULT_MODEL = Config().from_str("""
[model]
@architectures = "spacy-bloom.LanguageModel.v2"
name = "tiny-bloom"
dtype = "float32"
""")["model"]


class Upstream:
    """A transformer component whose weights another component uses, found by name when needed.

    nlp (Language | None): The pipeline, as a weak reference.
    name (str): Name of the transformer.
    found (Any): The component itself, if there is no pipeline: in a pickled or copied component.
    """

    def __init__(self, nlp: Language | None, name: str, found: Any = None) -> None:
        self.name = name
        self._nlp = None if nlp is None else weakref.ref(nlp)
        self._found = found
        self._linked: Callable[[], Any] = lambda: None
        self._language_model: BloomForCausalLM | None = None

    def __reduce__(self) -> tuple[type, tuple]:
        return Upstream, (None, self.name, self._find())

    def link(self, component: Any, user: Any) -> None:
        """Use a transformer that has the name, or had it and was renamed; as a weak reference, since its pipeline
        holds it.

        user (Any): The component that uses it. Its config follows the new name.
        """
        if component.name == self.name:
            self._linked = weakref.ref(component)
        elif component is self._linked():
            nlp = None if self._nlp is None else self._nlp()
            rename_upstream(nlp, user, self.name, component.name)
            self.name = component.name

    def shim(self) -> BloomShim:
        """RETURNS (BloomShim): The shim with the transformer's weights.
        RAISES (ConfigError): There is no such component, or it is not a bloom_transformer.
        """
        component = self._find()
        shims = getattr(getattr(component, "model", None), "shims", [])
        if not shims or not isinstance(shims[0], BloomShim):
            got = "no component of that name" if component is None else type(component).__name__
            raise ConfigError(
                f"Expected upstream to name a bloom_transformer of the pipeline, got {self.name!r}: {got}. "
                "Set upstream = null to use the checkpoint of the component's own model."
            )
        return shims[0]

    def language_model(self) -> BloomForCausalLM:
        """RETURNS (BloomForCausalLM): A language model around the transformer's current decoder."""
        decoder = self.shim().module
        if self._language_model is None or self._language_model.transformer is not decoder:
            self._language_model = language_model_on(decoder)
        return self._language_model

    def _find(self) -> Any:
        linked = self._linked()
        if linked is not None:
            return linked
        nlp = None if self._nlp is None else self._nlp()
        if nlp is not None and self.name in nlp.component_names:
            self._found = nlp.get_pipe(self.name)
        return self._found


class LanguageModelPipe(Pipe):
    """A component with a language model that it does not train.

    nlp (Language): The pipeline.
    model (Model): A model made by `spacy-bloom.LanguageModel.v2`; not loaded if there is an upstream.
    name (str): Name of the component.
    upstream (str | None): Name of a bloom_transformer whose weights are used instead, as trained.
    settings (Any): Settings, kept in `cfg`.
    RAISES (ConfigError): The model is another architecture's.
    """

    def __init__(
        self, nlp: Language, model: Model, name: str, *, upstream: str | None = None, **settings: Any
    ) -> None:
        if not model.shims or not isinstance(model.shims[0], LanguageModelShim):
            raise ConfigError(f"Expected a model of spacy-bloom.LanguageModel.v2, got {model.name!r}.")
        self.vocab = nlp.vocab
        self.model = model
        self.name = name
        self.cfg: dict[str, Any] = settings
        self._upstream = None if upstream is None else Upstream(nlp, upstream)

    def link_upstream(self, transformer: Any) -> None:
        """Use the weights of a transformer, if it is the named one. spaCy links the components of a pipeline whenever
        it changes, including sourced ones. A component that is part of two pipelines follows the one that was linked
        last, like spaCy's listeners.
        """
        if self._upstream is not None:
            self._upstream.link(transformer, self)

    @property
    def language_model(self) -> BloomForCausalLM:
        """RETURNS (BloomForCausalLM): The model in evaluation mode, loaded on first use."""
        own = self.model.shims[0]
        return (own.module if self._upstream is None else self._upstream.language_model()).eval()

    @property
    def tokenizer(self) -> BloomTokenizerFast:
        """RETURNS (BloomTokenizerFast): The language model's tokenizer."""
        shim = self.model.shims[0] if self._upstream is None else self._upstream.shim()
        return shim.tokenizer

    def __call__(self, doc: Doc) -> Doc:
        """RETURNS (Doc): The Doc, annotated."""
        for _ in self.pipe([doc], batch_size=1):
            pass
        return doc

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """YIELDS (Doc): The Docs in order. One that fails reaches the error handler alone."""
        yield from pipe_batches(self, stream, batch_size)

    def predict(self, docs: Iterable[Doc]) -> Any:
        """RETURNS (Any): What `set_annotations` writes. Nothing is written yet."""
        raise NotImplementedError

    def set_annotations(self, docs: Iterable[Doc], predictions: Any) -> None:
        """Write what was predicted."""
        raise NotImplementedError

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Write the model as a checkpoint directory, unless it is an upstream's. Settings are in the pipeline's config
        only, so that they can be overridden when it is loaded.

        path (str | Path): Directory.
        exclude (Iterable[str]): May contain "model".
        """
        with component_folder(path, exclude) as place:
            util.to_disk(place, {name: shim.to_disk for name, shim in self._own_shims.items()}, exclude)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> "LanguageModelPipe":
        """Map the model's weights into memory, without network access.

        path (str | Path): Directory written by `to_disk`.
        exclude (Iterable[str]): May contain "model".
        RETURNS (LanguageModelPipe): The component.
        """
        with reading(f"the component {self.name!r}"):
            util.from_disk(path, {name: shim.from_disk for name, shim in self._own_shims.items()}, exclude)
        return self

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """RETURNS (bytes): The serialized model. exclude as for `to_disk`."""
        return util.to_bytes({name: shim.to_bytes for name, shim in self._own_shims.items()}, exclude)

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> "LanguageModelPipe":
        """RETURNS (LanguageModelPipe): The component, with what `to_bytes` wrote."""
        with reading(f"the component {self.name!r}"):
            util.from_bytes(
                bytes_data, {name: shim.from_bytes for name, shim in self._own_shims.items()}, exclude
            )
        return self

    @property
    def _own_shims(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): The parts to write, by name; none with an upstream."""
        return {"model": self.model.shims[0]} if self._upstream is None else {}
