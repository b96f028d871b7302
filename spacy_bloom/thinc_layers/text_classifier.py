"""A linear classifier over one vector for each Doc, alone or with a second one over its words."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import List, Optional

from spacy import registry
from spacy.tokens import Doc
from spacy_transformers.data_classes import ModelOutput, TransformerData
from thinc.api import Dropout, Linear, Model, chain, uniform_init
from thinc.types import Floats2d, Ragged
from thinc.util import get_width

from ..errors import ListenerError
from .averaged_logits import averaged_logits, check_share
from .listener import BloomTransformerListener, TokenVectors

# With standard deviation 0.02, as in BLOOM. Hidden states are long vectors: with thinc's usual weights, a new
# classifier would be certain of its random predictions.
draw_weights = partial(uniform_init, lo=-0.02 * 3**0.5, hi=0.02 * 3**0.5)


@registry.architectures("spacy-bloom.TextClassifier.v2")
def create_text_classifier_v2(
    tok2vec: Model[List[Doc], List[Floats2d]],
    bias: bool = True,
    nO: Optional[int] = None,
    linear_model: Optional[Model[List[Doc], Floats2d]] = None,
    linear_share: float = 0.5,
) -> Model[List[Doc], Floats2d]:
    """Dropout and a linear layer on one vector for each Doc, as in BloomForSequenceClassification.

    tok2vec (Model): A listener, or a transformer of the component's own. Its pooling is applied to all pieces of a
        Doc here, instead of the pieces of each token. reduce_last takes the vector of the last piece, which has seen
        the whole Doc (or its window of a long Doc), reduce_mean the mean over all pieces, reduce_first the first
        piece's vector.
    bias (bool): Whether the linear layer has a bias. Hugging Face's has none.
    nO (Optional[int]): Number of labels; set from the labels if None.
    linear_model (Optional[Model]): A second classifier, from Docs to logits, such as spacy-bloom.NgramClassifier.v1
        or spacy.TextCatBOW.v3 with no_output_layer = true. Each learns by itself, and the mean of their logits counts.
    linear_share (float): Weight of its logits in that mean, from 0 to 1. Choose it on development data.
    RETURNS (Model): Docs to logits. Shape (Docs, nO).
    RAISES (ConfigError): tok2vec is another kind of layer, or linear_share is not from 0 to 1.
    """
    check_share(linear_share)
    output, pooling, grad_factor = TokenVectors.of(tok2vec)
    if isinstance(output, BloomTransformerListener):
        output.read_pieces()
    pooled = pool_pieces(pooling, grad_factor)
    output_layer = Linear(nO, init_W=draw_weights) if bias else linear_without_bias(nO)
    model: Model[List[Doc], Floats2d] = chain(output, pooled, Dropout(), output_layer)
    if linear_model is not None:
        model = averaged_logits(model, linear_model, linear_share, of_tokens=False)
        model.set_ref("linear_model", linear_model)
    model.set_ref("tok2vec", output)
    model.set_ref("output_layer", output_layer)
    return model


@registry.architectures("spacy-bloom.TextClassifier.v1")
def create_text_classifier(
    tok2vec: Model[List[Doc], List[Floats2d]], bias: bool = True, nO: Optional[int] = None
) -> Model[List[Doc], Floats2d]:
    """See `create_text_classifier_v2`; without a second classifier."""
    return create_text_classifier_v2(tok2vec, bias, nO)


def pool_pieces(
    pooling: Model[Ragged, Floats2d], grad_factor: float
) -> Model[Sequence[TransformerData], Floats2d]:
    """Pool all pieces of each Doc into one vector. A Doc without pieces has a zero vector and adds no gradient.

    pooling (Model): From the pieces of each Doc to its vector: reduce_last, reduce_mean, ...
    grad_factor (float): Weight of the gradient on its way to the transformer.
    RETURNS (Model): From the transformer's output for Docs to their vectors. Shape (Docs, hidden_size).
    """
    return Model("pool_pieces", _pool_forward, layers=[pooling], attrs={"grad_factor": grad_factor})


def _pool_forward(model: Model, data: Sequence[TransformerData], is_train: bool) -> tuple[Floats2d, Callable]:
    xp = model.ops.xp
    filled = [i for i, doc_data in enumerate(data) if doc_data.model_output]
    pieces = [_only_row(data[i]) for i in filled]
    lengths = model.ops.asarray1i([len(p) for p in pieces])
    pooled, backprop_pooling = model.layers[0](Ragged(xp.concatenate(pieces), lengths), is_train)
    vectors = model.ops.alloc2f(len(data), pooled.shape[1])
    vectors[filled] = pooled

    def backprop(d_vectors: Floats2d) -> list[TransformerData]:
        d_pieces = backprop_pooling(d_vectors[filled]).dataXd * model.attrs["grad_factor"]
        parts = model.ops.unflatten(d_pieces, lengths)
        outputs = [ModelOutput(last_hidden_state=part[None]) for part in parts]
        return [
            TransformerData(data[i].wordpieces, output, data[i].align)
            for i, output in zip(filled, outputs, strict=True)
        ]

    return vectors, backprop


def _only_row(data: TransformerData) -> Floats2d:
    """RETURNS (Floats2d): Vectors of all pieces of a Doc. Shape (pieces, hidden_size)."""
    hidden = data.model_output["last_hidden_state"]  # (1, pieces, hidden_size)
    if len(hidden) != 1 or not data.wordpieces.attention_mask.all():
        raise ListenerError(
            f"Expected all pieces of a Doc in one row without padding, got an output of shape {hidden.shape}. "
            "Use bloom_transformer, or spacy-bloom.TransformerModel.v2 in another transformer component."
        )
    return hidden[0]


def linear_without_bias(nO: Optional[int] = None, nI: Optional[int] = None) -> Model[Floats2d, Floats2d]:
    """Multiply by a matrix. thinc's Linear always has a bias.

    nO, nI (Optional[int]): Outputs and inputs; set from the sample at initialisation if None.
    RETURNS (Model): From (rows, nI) to (rows, nO).
    """
    dims = {"nO": nO, "nI": nI}
    return Model("linear_without_bias", _linear_forward, init=_linear_init, dims=dims, params={"W": None})


def _linear_init(model: Model, X: Optional[Floats2d] = None, Y: Optional[Floats2d] = None) -> None:
    for dim, sample in (("nI", X), ("nO", Y)):
        if sample is not None:
            model.set_dim(dim, get_width(sample))
    model.set_param("W", draw_weights(model.ops, (model.get_dim("nO"), model.get_dim("nI"))))


def _linear_forward(model: Model, X: Floats2d, is_train: bool) -> tuple[Floats2d, Callable]:
    W = model.get_param("W")  # (nO, nI)

    def backprop(dY: Floats2d) -> Floats2d:
        model.inc_grad("W", model.ops.gemm(dY, X, trans1=True))
        return model.ops.gemm(dY, W)

    return model.ops.gemm(X, W, trans2=True), backprop
