"""Sizes that follow from the width of a transformer's vectors.

An architecture asks its tok2vec for the width when it is built, before a listener knows its transformer. Most leave
open what they do not know, and it is found at initialization; thinc cannot find it in a residual connection, which it
takes for as wide as the component's output. spaCy's entity_linker has one.
"""

from spacy_transformers.layers import TransformerListener
from thinc.api import Model


def complete_widths(model: Model) -> None:
    """Set the sizes of a model's residual connections, as far as they follow from those of its listeners."""
    _follow(model, None)


def _follow(node: Model, incoming: int | None) -> int | None:
    """RETURNS (int | None): The width of a layer's output, given that of its input; None if it is not known."""
    if isinstance(node, TransformerListener):
        return node.maybe_get_dim("nO")
    if node.name == ">>".join(layer.name for layer in node.layers):  # a chain
        for layer in node.layers:
            incoming = _follow(layer, incoming)
        return incoming
    if node.name.startswith("residual("):
        if incoming is not None:
            _set_output(node.layers[0], incoming)
        return incoming
    found = [_follow(layer, incoming) for layer in node.layers]
    if node.has_dim("nO") is not False:
        return node.maybe_get_dim("nO")
    # thinc's rule: a layer without an output size hands on its input's, and so do layers around others.
    return next((out for out in found if out is not None), None) if found else incoming


def _set_output(layer: Model, width: int) -> None:
    """Set a layer's output size, if it is open; in a chain that of the last layer that has one."""
    if layer.has_dim("nO") is None:
        layer.set_dim("nO", width)
        for inner in reversed(layer.layers):
            if inner.has_dim("nO") is not False:
                return _set_output(inner, width)
