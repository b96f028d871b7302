"""Linear layers over hashed features."""

from functools import partial
from typing import Any, Optional, Tuple

from thinc.api import Model, resizable, with_cpu
from thinc.layers import SparseLinear_v2
from thinc.layers.resizable import resize_linear_weighted, resize_model
from thinc.types import Floats1d, Floats2d, Ints1d

from ..errors import ConfigError
from .hashed_ngrams import Hashes
from .output_layer import NEW_OUTPUT_MARGIN

Sparse = Tuple[Hashes, Floats1d, Ints1d]  # keys and values of all rows, and how many each row has

NEW_OUTPUT = {"W": 0.0, "b": -NEW_OUTPUT_MARGIN}


def sparse_linear(rows: int, nO: Optional[int]) -> Model[Sparse, Floats2d]:
    """thinc's SparseLinear, as a layer that more outputs can be added to.

    rows (int): Weights per output.
    nO (Optional[int]): Number of outputs; set later if None.
    RETURNS (Model): From keys, values and their numbers by row to logits. Shape (rows of the input, nO).
    RAISES (ConfigError): A number of rows below 1.
    """
    check_sizes("rows", rows)
    # A new label is not the best one until it is learnt.
    return resizable(SparseLinear_v2(nO, rows), partial(resize_linear_weighted, fill_defaults=NEW_OUTPUT))


def on_cpu(model: Model[Any, Floats2d], output_layer: Optional[Model] = None) -> Model[Any, Floats2d]:
    """Run a model on the CPU, wherever what is around it runs. thinc runs it as in training even if it predicts.

    output_layer (Optional[Model]): Its last layer, made by `sparse_linear`; None if the model is that.
    RETURNS (Model): Its attribute "resize_output" is a function that sets the number of outputs.
    """
    outer: Model[Any, Floats2d] = with_cpu(model, model.ops)
    outer.attrs["resize_output"] = partial(_resize_output, output_layer=output_layer or model)
    return outer


def check_sizes(name: str, *sizes: int) -> None:
    """RAISES (ConfigError): A size below 1."""
    if min(sizes, default=1) < 1:
        raise ConfigError(f"Expected {name} of 1 or more, got {min(sizes)}.")


def _resize_output(model: Model, n_outputs: int, output_layer: Model) -> Model:
    resize_model(output_layer, n_outputs)
    for node in model.walk():
        if node.has_dim("nO") is not False:
            node.set_dim("nO", n_outputs, force=True)
    return model
