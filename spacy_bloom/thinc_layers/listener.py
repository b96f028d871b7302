"""A listener that never makes up vectors, and removes them from the Doc when all listeners have read them."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy
from spacy.tokens import Doc
from spacy_transformers.data_classes import TransformerData
from spacy_transformers.layers import TransformerListener
from thinc.api import Model
from thinc.types import Floats2d, Ragged

from ..errors import ConfigError, ListenerError
from .pieces.alignment import token_offsets
from .transformer_data import BloomTransformerData, remove_output


class LastBatch:
    """The Docs that a listener has learnt from last: they have no output, but are predicted again by tools such as
    `spacy debug model`. A copy knows none.

    docs (Sequence[Doc]): The Docs.
    run (Callable | None): Docs to the transformer's output.
    """

    def __init__(
        self,
        docs: Sequence[Doc] = (),
        run: Callable[[list[Doc]], Sequence[TransformerData]] | None = None,
    ) -> None:
        self._docs = docs
        self._run = run

    def __reduce__(self) -> tuple[type, tuple]:
        return LastBatch, ()

    def output_for(self, doc: Doc) -> TransformerData | None:
        """RETURNS (TransformerData | None): Of the transformer as it is now; None for other Docs."""
        if self._run is None or not any(doc is one for one in self._docs):
            return None
        return self._run([doc])[0]


class BloomTransformerListener(TransformerListener):
    """spacy-transformers' listener with three differences: Docs that the transformer has not seen are an error instead
    of zeros, so are Docs whose tokens have changed since, and the last reader removes the activations from the Doc.

    upstream_name (str): Name of the transformer component, or "*" for any.
    """

    name = "bloom-transformer-listener"

    def __init__(self, upstream_name: str) -> None:
        dims, attrs = {"nO": None}, {"reads_tokens": True}
        Model.__init__(self, name=self.name, forward=forward, init=init, dims=dims, attrs=attrs)
        self.upstream_name = upstream_name
        self._batch_id = None
        self._outputs = None
        self._backprop = None
        self._samples: list[Doc] = []
        self.last_batch = LastBatch()

    def read_pieces(self) -> None:
        """Accept Docs whose tokens were merged or split since, because vectors of pieces are read, not of tokens."""
        self.attrs["reads_tokens"] = False

    def receive(self, batch_id: int, outputs: Any, backprop: Callable) -> None:
        """Take the transformer's output for a training batch."""
        self._samples = []
        super().receive(batch_id, outputs, backprop)


class TokenVectors(NamedTuple):
    """A model that pools a transformer's output, taken apart.

    output (Model): Docs to the transformer's output: a listener, or a transformer of the component's own.
    pooling (Model): From pieces to a vector.
    grad_factor (float): Weight of the gradient on its way to the transformer.
    """

    output: Model[list[Doc], list[TransformerData]]
    pooling: Model[Ragged, Floats2d]
    grad_factor: float

    @classmethod
    def of(cls, tok2vec: Model) -> "TokenVectors":
        """RETURNS (TokenVectors): The parts of what TransformerListener.v1 or Tok2VecTransformer.v1 makes.
        RAISES (ConfigError): It is another kind of layer.
        """
        if [layer.name for layer in tok2vec.layers[1:]] != ["trfs2arrays"]:
            raise ConfigError(
                f"Expected model.tok2vec to be a transformer's listener, got {tok2vec.name!r}. "
                "Use spacy-bloom.TransformerListener.v1."
            )
        output, arrays = tok2vec.layers
        return cls(output, arrays.layers[0], arrays.attrs["grad_factor"])


NOT_TRAINED = (
    "If it is frozen, list it under training.annotating_components too, or set train_transformer = false on its model "
    "instead of freezing it."
)
READ_TWICE = (
    "If this component runs a second time on the same Doc, set keep_activations = true on the transformer: its output "
    "leaves the Doc with the last reader."
)


def init(model: BloomTransformerListener, X: Any = None, Y: Any = None) -> None:
    """Remember the sample to infer shapes from. Only the sample may be read before the transformer has run."""
    model._samples = list(X) if X is not None else []


def forward(
    model: BloomTransformerListener, docs: Sequence[Doc], is_train: bool
) -> tuple[list[TransformerData], Callable]:
    """Docs to the transformer's output for them; see `BloomTransformerListener`."""
    if is_train and model._batch_id is not None:
        model.verify_inputs(docs)
        assert model._outputs is not None
        return model._outputs, model.backprop_and_clear
    # A frozen transformer annotates the Docs, in training as in prediction.
    outputs = [_read(model, doc, is_train) for doc in docs]
    if not is_train:  # in training the component may annotate next, and read again
        for doc, data in zip(docs, outputs, strict=True):
            _release(model, doc, data)
    return outputs, _no_backprop


def _read(model: BloomTransformerListener, doc: Doc, is_train: bool) -> TransformerData:
    data = doc._.trf_data if Doc.has_extension("trf_data") else None
    if data is None and not is_train:
        data = model.last_batch.output_for(doc)
    if data is None:
        return _without_output(model, doc, is_train)
    source = data.source if isinstance(data, BloomTransformerData) else None
    if source is not None and model.upstream_name not in ("*", source):
        raise ListenerError(
            f"Expected the output of {model.upstream_name!r} on the Doc {doc.text[:40]!r}, "
            f"got that of {source!r}. A Doc holds one at a time: put each transformer right before the "
            "components that listen to it."
        )
    if model.attrs["reads_tokens"]:
        _check_tokens(doc, data)
    return data


def _check_tokens(doc: Doc, data: TransformerData) -> None:
    n_tokens = len(data.align.lengths)
    ends = data.token_ends if isinstance(data, BloomTransformerData) else None
    if n_tokens != len(doc) or (ends is not None and not numpy.array_equal(ends, token_offsets(doc)[1])):
        got = "as many others" if n_tokens == len(doc) else str(n_tokens)
        raise ListenerError(
            f"Expected vectors of {len(doc)} tokens on the Doc {doc.text[:40]!r}, got those of {got}: its "
            "tokens were merged or split after the transformer. Put what does that, such as merge_entities, before "
            "the transformer or after the components that listen to it."
        )


def _release(model: BloomTransformerListener, doc: Doc, data: TransformerData) -> None:
    if isinstance(data, BloomTransformerData) and data.readers is not None:
        data.readers.discard(model.id)
        if not data.readers:
            remove_output(doc)


def _without_output(model: BloomTransformerListener, doc: Doc, is_train: bool) -> TransformerData:
    if not len(doc):
        return TransformerData.empty()
    width = model.maybe_get_dim("nO")
    if width is not None and any(doc is sample for sample in model._samples):
        return TransformerData.zeros(len(doc), width, xp=model.ops.xp)
    upstream = "a transformer" if model.upstream_name == "*" else repr(model.upstream_name)
    raise ListenerError(
        f"Expected the output of {upstream} on the Doc {doc.text[:40]!r}, got none. Add the transformer before this "
        f"component and keep it enabled. {NOT_TRAINED if is_train else READ_TWICE}"
    )


def _no_backprop(d_outputs: Any) -> list:
    return []
