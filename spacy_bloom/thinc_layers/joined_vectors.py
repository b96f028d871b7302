"""Token vectors of two layers, one beside the other."""

from typing import Any, Callable, List, Tuple

from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d


def joined_vectors(
    left: Model[List[Doc], List[Floats2d]], right: Model[List[Doc], List[Floats2d]]
) -> Model[List[Doc], List[Floats2d]]:
    """As thinc's `concatenate`, which has no place for what a listener gives of a Doc without tokens: no columns.

    RETURNS (Model): Docs to vectors. Each of shape (tokens, left's width + right's width).
    """
    return Model("joined_vectors", _forward, init=_init, layers=[left, right], dims={"nO": None})


def _forward(
    model: Model, docs: List[Doc], is_train: bool
) -> Tuple[List[Floats2d], Callable[[List[Floats2d]], List[Doc]]]:
    (left, backprop_left), (right, backprop_right) = (layer(docs, is_train) for layer in model.layers)
    width = max(x.shape[1] for x in left)
    empty = model.ops.alloc2f(0, width + right[0].shape[1])
    pairs = zip(left, right, strict=True)
    vectors = [model.ops.xp.hstack(pair) if len(pair[0]) else empty for pair in pairs]

    def backprop(d_vectors: List[Floats2d]) -> List[Doc]:
        backprop_left([d[:, :width] for d in d_vectors])
        backprop_right([d[:, width:] for d in d_vectors])
        return docs

    return vectors, backprop


def _init(model: Model, X: Any = None, Y: Any = None) -> None:
    for layer in model.layers:
        layer.initialize(X=X)
    widths = [layer.maybe_get_dim("nO") for layer in model.layers]
    if None not in widths:
        model.set_dim("nO", sum(widths))
