"""Two classifiers as one."""

from collections.abc import Callable
from functools import partial
from typing import Any, List

from spacy.tokens import Doc
from thinc.api import Model

from ..errors import ConfigError


def averaged_logits(
    left: Model[List[Doc], Any], right: Model[List[Doc], Any], right_share: float, *, of_tokens: bool
) -> Model[List[Doc], Any]:
    """The mean of two classifiers' logits.

    right_share (float): Weight of the second one in the mean, from 0 to 1.
    of_tokens (bool): Whether they are logits of each token: a list of shapes (tokens, nO). If not, of each Doc: of
        shape (Docs, nO).
    RETURNS (Model): Docs to logits, like both.
    """
    # Neither is an attribute of the layer, so that the config decides and not what was saved.
    forward, init = partial(_forward, share=right_share), partial(_init, of_tokens=of_tokens)
    return Model("averaged_logits", forward, init=init, layers=[left, right])


def check_share(linear_share: float) -> None:
    """RAISES (ConfigError): It is not from 0 to 1."""
    if not 0 <= linear_share <= 1:
        raise ConfigError(f"Expected linear_share to be from 0 to 1, got {linear_share}.")


def classifiers(model: Model) -> list[Model]:
    """RETURNS (list[Model]): The two in a model with a reference "linear_model" to the second, or the model itself."""
    if not model.has_ref("linear_model"):
        return [model]
    second = model.get_ref("linear_model")
    return next(node.layers for node in model.walk() if node.layers and node.layers[-1] is second)


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


def _init(model: Model, X: List[Doc] | None = None, Y: Any = None, *, of_tokens: bool) -> None:
    for layer in model.layers:
        layer.initialize(X, Y)
    if X is not None and isinstance(model.layers[1].predict(X), list) != of_tokens:
        expected, got = ("token", "Doc") if of_tokens else ("Doc", "token")
        kind = "NgramTokenClassifier.v1" if of_tokens else "NgramClassifier.v1"
        raise ConfigError(
            f"Expected logits of each {expected} from linear_model, got those of each {got}. Use spacy-bloom.{kind}."
        )
