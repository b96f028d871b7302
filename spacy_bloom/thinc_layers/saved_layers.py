"""thinc's layers from files and bytes that anybody may have made: thinc itself checks neither names nor shapes."""

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy
from thinc.api import Model

from ..errors import BloomError, CheckpointError

MAX_OUTPUTS = 2**31 - 1
# Of attributes that a saved model may not change to another kind.
PLAIN = (bool, int, float, str)


@contextmanager
def reading(where: str, model: Model | None = None) -> Iterator[None]:
    """Read something that was saved inside: what is no damage of ours to name becomes an error that says where.

    where (str): What is read, for the error.
    model (Model | None): What is read into; its layers are checked afterwards.
    RAISES (CheckpointError): It is damaged, or its parts do not fit together.
    """
    collects = gc.isenabled()  # srsly's msgpack leaves the collector off after an error
    nodes = [] if model is None else list(model.walk())
    before = [dict(node.attrs) for node in nodes]
    names = _names_in(nodes)
    done = False
    try:
        yield
        _check_layers(nodes, before)
        for (here, parts), (now, found) in zip(names, _names_in(nodes), strict=True):
            # A listener that got a transformer of its own has its part since.
            if here != now or not parts <= found:
                raise ValueError("layers have other sizes, weights or parts than here")
        done = True
    except (BloomError, OSError, ImportError):
        raise
    except Exception as error:  # of msgpack, of JSON, or of whatever came of wrong values
        raise CheckpointError(
            f"Expected what was saved of {where}, got something else: {type(error).__name__}: {str(error)[:300]}"
        ) from error
    finally:
        if collects:
            gc.enable()
        for node, attrs in zip(nodes, before, strict=True):
            if not done:  # so that something good can still be read
                node.attrs.clear()
                node.attrs.update(attrs)


def _names_in(nodes: list[Model]) -> list[tuple[set[str], set[str]]]:
    """RETURNS (list[tuple]): Of each layer, the names of its sizes and weights, and of its parts."""
    return [({*node.dim_names, *node.param_names}, set(node.ref_names)) for node in nodes]


def _check_layers(nodes: list[Model], before: list[dict[str, Any]]) -> None:
    """RAISES (ValueError): Sizes, weights or attributes are not what the layers have."""
    for node, attrs in zip(nodes, before, strict=True):
        if not isinstance(node.name, str):
            raise ValueError("the name of a layer is no text")
        dims = {name: node.maybe_get_dim(name) for name in node.dim_names}
        for name, size in dims.items():
            if size is not None and not (type(size) is int and 0 < size <= MAX_OUTPUTS):
                raise ValueError(f"{node.name!r} has the size {name} = {size!r:.80}")
        for name in node.param_names:
            _check_weights(f"{name} of {node.name!r}", name, node.maybe_get_param(name), dims)
        for name, old in attrs.items():
            new, kinds = node.attrs.get(name), {type(old), int if type(old) is float else type(old)}
            is_open = old is None and isinstance(new, PLAIN) and not node.name.startswith("bloom")
            if type(new) not in kinds and not is_open:
                raise ValueError(f"{name!r} of {node.name!r} is {new!r:.80}, expected {type(old).__name__}")


def _check_weights(which: str, name: str, value: Any, dims: Mapping[str, int | None]) -> None:
    if value is None:
        return
    if getattr(value, "dtype", None) != numpy.float32:
        raise ValueError(f"{which} is no array of float32")
    if set(dims) == {"nO", "nI"} and name in ("W", "b"):  # a linear layer
        expected = (dims["nO"], dims["nI"]) if name == "W" else (dims["nO"],)
        fits = value.shape == expected
    elif set(dims) == {"nO", "length"}:
        # A sparse linear layer: thinc would read beyond the end of a smaller array.
        n_outputs, length = dims["nO"] or 0, dims["length"] or 0
        fits = value.shape == ((n_outputs * length,) if name == "W" else (n_outputs,))
    elif set(dims) == {"nO"} and name == "W":  # scores of transitions
        fits = dims["nO"] is not None and value.shape == (dims["nO"] + 1, dims["nO"])
    else:
        fits = set(value.shape) <= {size for size in dims.values() if size is not None}
    if not fits:
        raise ValueError(f"{which} has the shape {value.shape}, which does not fit {dict(dims)}")
