"""A linear classifier over hashed words and character n-grams of a Doc."""

import re
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import List, Optional

import numpy
from numpy.typing import NDArray
from spacy import registry
from spacy.tokens import Doc
from thinc.api import Model, chain, resizable, with_cpu
from thinc.layers import SparseLinear_v2
from thinc.layers.resizable import resize_linear_weighted, resize_model
from thinc.types import Floats1d, Floats2d, Ints1d

from ..errors import ConfigError
from .output_layer import NEW_OUTPUT_MARGIN

# Lets a weight of this layer matter as much after a step of Adam as a weight over a transformer's long vectors.
SCALE = 8.0
FACTOR = numpy.uint64(0x9E3779B97F4A7C15)  # odd, with bits in no order: 2^64 over the golden ratio
HALF = numpy.uint64(32)
DIGIT = re.compile(r"\d")


@registry.architectures("spacy-bloom.NgramClassifier.v1")
def create_ngram_classifier(
    ngram_sizes: Sequence[int] = (3, 4), rows: int = 2**17, nO: Optional[int] = None
) -> Model[List[Doc], Floats2d]:
    """One weight for each label and each hashed word and character n-gram of a Doc's lower-cased text, in which all
    digits are alike. Knows nothing but the surface of a text, needs few examples, and is right where a small
    transformer is wrong. Runs on the CPU.

    ngram_sizes (Sequence[int]): Lengths of the character n-grams, spaces included.
    rows (int): Weights per label. Fewer take less memory, and let more n-grams share a weight.
    nO (Optional[int]): Number of labels; set by the component if None.
    RETURNS (Model): Docs to logits. Shape (Docs, nO).
    RAISES (ConfigError): A length or a number of rows below 1.
    """
    for name, value in (("ngram_sizes", min(ngram_sizes, default=1)), ("rows", rows)):
        if value < 1:
            raise ConfigError(f"Expected {name} of 1 or more, got {value}.")
    # A new label is not the best one until it is learnt.
    resize = partial(resize_linear_weighted, fill_defaults={"W": 0.0, "b": -NEW_OUTPUT_MARGIN})
    output_layer = resizable(SparseLinear_v2(nO, rows), resize)
    # Not an attribute of the layer, which a file could change.
    extract: Model = Model("extract_char_ngrams", partial(_forward, sizes=frozenset(ngram_sizes)))
    model: Model[List[Doc], Floats2d] = with_cpu(chain(extract, output_layer), extract.ops)
    model.attrs["resize_output"] = partial(_resize_output, output_layer=output_layer)
    return model


def _resize_output(model: Model, n_outputs: int, output_layer: Model) -> Model:
    resize_model(output_layer, n_outputs)
    for node in model.walk():
        if node.has_dim("nO") is not False:
            node.set_dim("nO", n_outputs, force=True)
    return model


def _forward(
    model: Model, docs: Sequence[Doc], is_train: bool, *, sizes: Collection[int]
) -> tuple[tuple[Ints1d, Floats1d, Ints1d], Callable]:
    keys = [_features(doc, sizes) for doc in docs]
    lengths = numpy.array([len(k) for k in keys], dtype="int32")
    # Vectors of the same length for texts of all lengths.
    values = numpy.repeat(SCALE / numpy.sqrt(numpy.maximum(lengths, 1)), lengths).astype("float32")
    joined = numpy.concatenate([*keys, numpy.zeros(0, dtype="uint64")])
    return (joined, values, lengths), lambda d_features: []


def _features(doc: Doc, sizes: Collection[int]) -> NDArray[numpy.uint64]:
    """RETURNS (NDArray[numpy.uint64]): Each word and n-gram of a Doc once, hashed."""
    words = doc.text.lower().split()
    if not words:
        return numpy.zeros(0, dtype="uint64")
    text = DIGIT.sub("0", f" {' '.join(words)} ")  # which number it is says little
    characters = numpy.frombuffer(text.encode("utf-32-le"), dtype="<u4").astype("uint64")
    found = [doc.to_array("LOWER")]
    hashed = characters  # those of one character
    for size in range(1, min(max(sizes, default=0), len(characters)) + 1):
        if size > 1:
            hashed = hashed[:-1] * FACTOR + characters[size - 1 :]
            hashed ^= hashed >> HALF
        if size in sizes:
            found.append(hashed + numpy.uint64(size))
    return numpy.unique(numpy.concatenate(found))
