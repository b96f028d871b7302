"""Two classifiers as one."""

from collections.abc import Callable
from functools import partial
from typing import List

from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d


def averaged_logits(
    left: Model[List[Doc], Floats2d], right: Model[List[Doc], Floats2d], right_share: float
) -> Model[List[Doc], Floats2d]:
    """The mean of two classifiers' logits.

    right_share (float): Weight of the second one in the mean, from 0 to 1.
    RETURNS (Model): Docs to logits. Shape (Docs, nO).
    """
    # The share is not an attribute of the layer, so that the config decides and not what was saved.
    return Model("averaged_logits", partial(_forward, share=right_share), init=_init, layers=[left, right])


def _forward(model: Model, docs: List[Doc], is_train: bool, *, share: float) -> tuple[Floats2d, Callable]:
    (left, backprop_left), (right, backprop_right) = (layer(docs, is_train) for layer in model.layers)

    def backprop(d_logits: Floats2d) -> list[Doc]:
        backprop_left((1 - share) * d_logits)
        backprop_right(share * d_logits)
        return docs

    return (1 - share) * left + share * right, backprop


def _init(model: Model, X: List[Doc] | None = None, Y: Floats2d | None = None) -> None:
    for layer in model.layers:
        layer.initialize(X, Y)
