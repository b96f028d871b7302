"""Hashed character n-grams, and linear layers over hashed features."""

import re
from collections.abc import Iterator
from functools import partial
from typing import Any, Optional, Tuple

import numpy
from numpy.typing import NDArray
from thinc.api import Model, resizable, with_cpu
from thinc.layers import SparseLinear_v2
from thinc.layers.resizable import resize_linear_weighted, resize_model
from thinc.types import Floats1d, Floats2d, Ints1d

from ..errors import ConfigError
from .output_layer import NEW_OUTPUT_MARGIN

Hashes = NDArray[numpy.uint64]
Sparse = Tuple[Hashes, Floats1d, Ints1d]  # keys and values of all rows, and how many each row has

NEW_OUTPUT = {"W": 0.0, "b": -NEW_OUTPUT_MARGIN}

FACTOR = numpy.uint64(0x9E3779B97F4A7C15)  # odd, with bits in no order: 2^64 over the golden ratio
HALF = numpy.uint64(32)
DIGIT = re.compile(r"\d")


def with_like_digits(text: str) -> str:
    """RETURNS (str): The text with 0 for each digit: which number it is says little."""
    return DIGIT.sub("0", text)


def hashed_ngrams(text: str, longest: int) -> Iterator[tuple[int, Hashes]]:
    """YIELDS (tuple[int, Hashes]): A size from 1 to the longest one that fits, and the hashes of all n-grams of that
    size, by the place of their first character.
    """
    characters = numpy.frombuffer(text.encode("utf-32-le"), dtype="<u4").astype("uint64")
    hashed = characters
    for size in range(1, min(longest, len(characters)) + 1):
        if size > 1:
            hashed = hashed[:-1] * FACTOR + characters[size - 1 :]
            hashed ^= hashed >> HALF
        yield size, hashed


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
