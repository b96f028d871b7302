"""Two classifiers as one."""

from collections.abc import Callable
from functools import partial
from typing import Any, List

from spacy.tokens import Doc
from thinc.api import Model

from ..errors import ConfigError


def averaged_logits(
    left: Model[List[Doc], Any], right: Model[List[Doc], Any], right_share: float
) -> Model[List[Doc], Any]:
    """The mean of two classifiers' logits.

    right_share (float): Weight of the second one in the mean, from 0 to 1.
    RETURNS (Model): Docs to logits, like both: of shape (Docs, nO), or a list of shapes (tokens, nO).
    """
    # The share is not an attribute of the layer, so that the config decides and not what was saved.
    return Model("averaged_logits", partial(_forward, share=right_share), init=_init, layers=[left, right])


def check_share(name: str, share: float) -> None:
    """RAISES (ConfigError): It is not from 0 to 1."""
    if not 0 <= share <= 1:
        raise ConfigError(f"Expected {name} to be from 0 to 1, got {share}.")


def classifiers(model: Model) -> list[Model]:
    """RETURNS (list[Model]): The two in a model that averages, or the model itself."""
    return next((node.layers for node in model.walk() if node.name == "averaged_logits"), [model])


def _forward(model: Model, docs: List[Doc], is_train: bool, *, share: float) -> tuple[Any, Callable]:
    (left, backprop_left), (right, backprop_right) = (layer(docs, is_train) for layer in model.layers)

    def backprop(d_logits: Any) -> list[Doc]:
        backprop_left(_each(lambda d: (1 - share) * d, d_logits))
        backprop_right(_each(lambda d: share * d, d_logits))
        return docs

    return _each(lambda x, y: (1 - share) * x + share * y, left, right), backprop


def _each(function: Callable, *logits: Any) -> Any:
    """RETURNS (Any): The function's results for arrays, or for each of lists of arrays."""
    return list(map(function, *logits)) if isinstance(logits[0], list) else function(*logits)


def _init(model: Model, X: List[Doc] | None = None, Y: Any = None) -> None:
    for layer in model.layers:
        layer.initialize(X, Y)
