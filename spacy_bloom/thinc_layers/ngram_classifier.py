"""A linear classifier over hashed words and character n-grams of a Doc."""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import List, Optional

import numpy
from spacy import registry
from spacy.tokens import Doc
from thinc.api import Model, chain
from thinc.types import Floats2d

from .hashed_ngrams import Hashes, hashed_ngrams, with_like_digits
from .sparse_linear import Sparse, check_sizes, on_cpu, sparse_linear

# Lets a weight of this layer matter as much after a step of Adam as a weight over a transformer's long vectors.
SCALE = 8.0


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
    check_sizes("ngram_sizes", *ngram_sizes)
    # The sizes are not an attribute of the layer, which a file could change.
    extract: Model = Model("extract_char_ngrams", partial(_forward, sizes=frozenset(ngram_sizes)))
    output_layer = sparse_linear(rows, nO)
    return on_cpu(chain(extract, output_layer), output_layer)


def _forward(
    model: Model, docs: Sequence[Doc], is_train: bool, *, sizes: Collection[int]
) -> tuple[Sparse, Callable]:
    keys = [_features(doc, sizes) for doc in docs]
    lengths = numpy.array([len(k) for k in keys], dtype="int32")
    # Vectors of the same length for texts of all lengths.
    values = numpy.repeat(SCALE / numpy.sqrt(numpy.maximum(lengths, 1)), lengths).astype("float32")
    joined = numpy.concatenate([*keys, numpy.zeros(0, dtype="uint64")])
    return (joined, values, lengths), lambda d_features: []


def _features(doc: Doc, sizes: Collection[int]) -> Hashes:
    """RETURNS (Hashes): Each word and n-gram of a Doc once, hashed."""
    words = doc.text.lower().split()
    if not words:
        return numpy.zeros(0, dtype="uint64")
    text = with_like_digits(f" {' '.join(words)} ")
    ngrams = [
        hashed + numpy.uint64(size)
        for size, hashed in hashed_ngrams(text, max(sizes, default=0))
        if size in sizes
    ]
    return numpy.unique(numpy.concatenate([doc.to_array("LOWER"), *ngrams]))
