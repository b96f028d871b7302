"""The component that runs BLOOM once for all components that listen to it."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, List

from spacy import util
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example, validate_examples
from spacy.vocab import Vocab
from spacy_transformers.annotation_setters import null_annotation_setter
from spacy_transformers.data_classes import FullTransformerBatch
from spacy_transformers.layers import TransformerListener
from spacy_transformers.pipeline_component import Transformer, install_extensions
from thinc.api import Config, Model, Optimizer, set_dropout_rate

from ..errors import ConfigError
from ..thinc_layers.listener import BloomTransformerListener
from ..thinc_layers.saved_layers import reading
from ..thinc_layers.transformer_data import BloomTransformerBatch, BloomTransformerData, remove_output
from ..thinc_layers.transformer_model import bloom_shim, set_width
from ..thinc_layers.weights.shim import BloomShim
from ..thinc_layers.widths import complete_widths
from .base.language_model_pipe import LanguageModelPipe
from .base.saved_settings import keeping_settings
from .base.streaming import pipe_batches
from .listening.readers import Readers
from .listening.shared_gradient import SharedGradient
from .saving import component_folder

DEFAULT_CONFIG = """
[bloom_transformer]
max_batch_items = 1024
keep_activations = false

[bloom_transformer.set_extra_annotations]
@annotation_setters = "spacy-transformers.null_annotation_setter.v1"

[bloom_transformer.model]
@architectures = "spacy-bloom.TransformerModel.v2"
name = "tiny-bloom"
window = 512
context = 128
dtype = "float32"
attention = "causal"
bidirectional_layers = null
train_transformer = true
reuse = null
trainable_layers = null
layer_factor = 1.0
lora = null
mix_layers = false
"""


@Language.factory(
    "bloom_transformer",
    assigns=["doc._.trf_data"],
    default_config=Config().from_str(DEFAULT_CONFIG)["bloom_transformer"],
)
def make_bloom_transformer(
    nlp: Language,
    name: str,
    model: Model[List[Doc], FullTransformerBatch],
    set_extra_annotations: Callable[[List[Doc], FullTransformerBatch], None],
    max_batch_items: int,
    keep_activations: bool,
) -> "BloomTransformer":
    """Make the component. Arguments as for `BloomTransformer`."""
    return BloomTransformer(
        nlp.vocab,
        model,
        set_extra_annotations,
        name=name,
        max_batch_items=max_batch_items,
        keep_activations=keep_activations,
        nlp=nlp,
    )


class BloomTransformer(Transformer):
    """Runs BLOOM over Docs and hands the vectors to the components that listen.

    vocab (Vocab): The pipeline's vocabulary.
    model (Model): A model made by `spacy-bloom.TransformerModel.v2`.
    set_extra_annotations (Callable): Called with the Docs and the output after the output is set.
    name (str): Name of the component.
    max_batch_items (int): Maximum number of pieces in a packed batch in prediction.
    keep_activations (bool): Whether `doc._.trf_data` stays when all listeners have read it. It always stays
        when nothing listens, or when one of spacy-transformers' own listeners does.
    nlp (Language | None): The pipeline, to know which listeners are going to read.
    RAISES (ConfigError): The model is another architecture's, or max_batch_items is below 1.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model[List[Doc], FullTransformerBatch],
        set_extra_annotations: Callable = null_annotation_setter,
        *,
        name: str = "bloom_transformer",
        max_batch_items: int = 1024,
        keep_activations: bool = False,
        nlp: Language | None = None,
    ) -> None:
        super().__init__(vocab, model, set_extra_annotations, name=name, max_batch_items=max_batch_items)
        if not model.shims or not isinstance(model.shims[0], BloomShim):
            raise ConfigError(
                f"Expected a model of spacy-bloom.TransformerModel.v2, got {model.name!r}. "
                "For other architectures use the factory 'transformer' of spacy-transformers."
            )
        if max_batch_items < 1:
            raise ConfigError(f"Expected max_batch_items (pieces) of at least 1, got {max_batch_items}.")
        self.cfg["keep_activations"] = keep_activations
        self._readers = Readers(nlp)
        self._gradient = SharedGradient(model)

    @property
    def is_trainable(self) -> bool:
        """RETURNS (bool): True; it learns from its listeners."""
        return True

    def find_listeners(self, component: Any) -> None:
        """Connect the listeners of a component, or give a component that generates or scores the weights it reads."""
        self._readers.follow_name(component, self.name)
        super().find_listeners(component)
        if component is not self:
            self._readers.connect(component, self)
        if component.name in self.listener_map:
            complete_widths(component.model)
        if isinstance(component, LanguageModelPipe):
            component.link_upstream(self)

    def add_listener(self, listener: TransformerListener, component_name: str) -> None:
        """Connect a listener, and set the size of its vectors as far as it is known by now."""
        if self.model.maybe_get_dim("nO") is None:
            set_width(self.model)
        super().add_listener(listener, component_name)

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Run on a stream.

        stream (Iterable[Doc]): The Docs.
        batch_size (int): Docs to buffer; what is buffered is sorted by length and packed under
            max_batch_items.
        YIELDS (Doc): The Docs in order. One that fails reaches the error handler alone, without its batch.
        """
        install_extensions()
        yield from pipe_batches(self, stream, batch_size)

    def predict(self, docs: Iterable[Doc]) -> FullTransformerBatch:
        """RETURNS (FullTransformerBatch): The vectors; nothing is written on the Docs."""
        docs = list(docs)
        if not any(len(doc) for doc in docs):
            return BloomTransformerBatch(docs, [BloomTransformerData.empty() for _ in docs])
        return self._run(docs, is_train=False)

    def _run(self, docs: list[Doc], *, is_train: bool) -> FullTransformerBatch:
        self.model.attrs["max_batch_items"] = self.cfg["max_batch_items"]
        return self.model(docs, is_train)[0]

    def set_annotations(self, docs: Iterable[Doc], predictions: FullTransformerBatch) -> None:
        """Write `doc._.trf_data`. It is removed when all components that listen have read it."""
        docs = list(docs)
        vocabs = {id(doc.vocab): doc.vocab for doc in docs}  # one, unless pipelines share the transformer
        by_vocab = {key: self._expected_readers(vocab) for key, vocab in vocabs.items()}
        for doc, data in zip(docs, predictions.doc_data, strict=True):
            readers = by_vocab[id(doc.vocab)]
            if isinstance(data, BloomTransformerData):
                data.readers = None if readers is None else set(readers)
                data.source = self.name
        super().set_annotations(docs, predictions)
        for doc in docs:
            if not len(doc) and by_vocab[id(doc.vocab)] is not None:
                remove_output(doc)  # components pass over batches without tokens

    def _expected_readers(self, vocab: Vocab) -> set[int] | None:
        """RETURNS (set[int] | None): Ids of the listeners to come; None if the output must stay."""
        listeners = self._readers.expected(self, vocab)
        ours = all(isinstance(listener, BloomTransformerListener) for listener in listeners or [])
        if self.cfg["keep_activations"] or not listeners or not ours:
            return None
        return {listener.id for listener in listeners}

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Run on a batch and hand the vectors to the listeners; the weights learn from the sum of their
        gradients. A transformer that does not learn annotates the Docs, and its listeners read them there.

        RETURNS (dict[str, float]): The losses; the listeners add the sum of their squared gradients later.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "BloomTransformer.update")
        self._gradient.close()
        docs = [eg.predicted for eg in examples]
        if not any(len(doc) for doc in docs):
            return losses
        listeners = self._readers.learning(self, docs[0].vocab)
        if not listeners:
            return losses
        if not bloom_shim(self.model).learns:
            self.set_annotations(docs, self._run(docs, is_train=True))
            if sgd is not None:
                self.finish_update(sgd)  # a schedule of layers counts this step too
            return losses
        set_dropout_rate(self.model, drop)

        def add_loss(loss: float) -> None:
            losses[self.name] += loss

        self._gradient.share(docs, listeners, add_loss)
        if sgd is not None:
            self.finish_update(sgd)
        return losses

    def finish_update(self, sgd: Optimizer) -> None:
        """Update the weights, once the listeners have learnt: `nlp.update` asks for it before they have.

        sgd (Optimizer): The optimizer.
        """
        self._gradient.finish(lambda: self.model.finish_update(sgd))

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> "BloomTransformer":
        """RETURNS (BloomTransformer): The component, with the model that `to_bytes` has written."""
        with reading(f"the component {self.name!r}", self.model), keeping_settings(self.cfg):
            return super().from_bytes(bytes_data, exclude=exclude)

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Write the model as a checkpoint directory in the Hugging Face layout. Settings are in the pipeline's config
        and nowhere else, so that they can be overridden when it is loaded.

        path (str | Path): Directory.
        exclude (Iterable[str]): Of "vocab", "model".
        """
        serialize = {
            "vocab": lambda p: self.vocab.to_disk(p),
            "model": lambda p: bloom_shim(self.model).to_disk(p),
        }
        with component_folder(path, exclude) as place:
            util.to_disk(place, serialize, exclude)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> "BloomTransformer":
        """Map the model's weights into memory; no network is asked, and every name and shape is checked.

        path (str | Path): Directory written by `to_disk`.
        exclude (Iterable[str]): Of "vocab", "model".
        RETURNS (BloomTransformer): The component.
        """

        def read_model(model_path: Path) -> None:
            bloom_shim(self.model).from_disk(model_path)
            set_width(self.model)
            for listener in self.listeners:  # the named checkpoint may have changed its size since
                listener.set_dim("nO", self.model.get_dim("nO"), force=True)

        deserialize = {
            "vocab": self.vocab.from_disk,
            "model": read_model,
        }
        with reading(f"the component {self.name!r}"):
            util.from_disk(path, deserialize, exclude)  # type: ignore[arg-type]
        return self
