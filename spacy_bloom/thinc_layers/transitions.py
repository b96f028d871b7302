"""Learned scores of tags that follow one another."""

from typing import Any, Callable, List, Tuple

from thinc.api import Model
from thinc.types import Floats2d


def transitions() -> Model[List[Floats2d], List[Floats2d]]:
    """Holds the scores and gives out the logits that it gets; loss and decoding add the scores, see `crf`.

    RETURNS (Model): Its parameter "W" has shape (tags + 1, tags): previous tag, in the last row none, and next tag.
    """
    return Model("transitions", _forward, init=_init, dims={"nO": None}, params={"W": None})


def _forward(
    model: Model, logits: List[Floats2d], is_train: bool
) -> Tuple[List[Floats2d], Callable[[List[Floats2d]], List[Floats2d]]]:
    return logits, lambda d_logits: d_logits


def _init(model: Model, X: Any = None, Y: Any = None) -> Model:
    if X:
        model.set_dim("nO", X[0].shape[1], force=True)
    if model.has_dim("nO") is True:
        n_tags = model.get_dim("nO")
        model.set_param("W", model.ops.alloc2f(n_tags + 1, n_tags))
    return model


def resize_transitions(model: Model, n_tags: int) -> None:
    """Make room for more tags, with scores of 0. The layer is replaced: an optimizer knows the old one by its shape.

    model (Model): Its reference "transitions" is made by `transitions`.
    n_tags (int): All tags, the old ones first.
    """
    old, new = model.get_ref("transitions"), transitions()
    n_old = old.get_dim("nO")
    new.set_dim("nO", n_tags)
    scores = new.ops.alloc2f(n_tags + 1, n_tags)
    learned = old.get_param("W")
    scores[:n_old, :n_old] = learned[:-1]
    scores[-1, :n_old] = learned[-1]
    new.set_param("W", scores)
    for node in model.walk():
        if node.layers and node.layers[-1] is old:
            node.set_dim("nO", n_tags, force=True)
    replace_layer(model, old, new)


def replace_layer(model: Model, old: Model, new: Model) -> None:
    """Put a layer in another one's place, in references too. thinc's `replace_node` fails on those that are unset."""
    for node in list(model.walk(order="dfs_post")):
        node.layers[:] = [new if layer is old else layer for layer in node.layers]
        for name in node.ref_names:
            if node.maybe_get_ref(name) is old:
                node.set_ref(name, new)
