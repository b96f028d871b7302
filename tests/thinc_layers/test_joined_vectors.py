import numpy
import pytest
from spacy.tokens import Doc
from spacy.vocab import Vocab
from thinc.api import Model

from spacy_bloom.thinc_layers.joined_vectors import joined_vectors

LENGTHS = (2, 0, 3)


def vectors_of(width, empty_width, received):
    """A layer that numbers tokens, with so many columns, and another number of them for Docs without tokens."""

    def forward(model, docs, is_train):
        outputs = [
            numpy.arange(len(doc), dtype="f")[:, None] + width * numpy.ones((1, width), dtype="f")
            if len(doc)
            else numpy.zeros((0, empty_width), dtype="f")
            for doc in docs
        ]
        return outputs, lambda gradients: received.extend(gradients) or docs

    return Model(f"vectors_{width}", forward, dims={"nO": width})


@pytest.fixture
def docs():
    return [Doc(Vocab(), words=["word"] * n) for n in LENGTHS]


def test_vectors_stand_beside_each_other_and_so_do_their_gradients(docs):
    left, right = [], []
    model = joined_vectors(vectors_of(3, 0, left), vectors_of(2, 2, right))
    model.initialize(X=docs)
    assert model.get_dim("nO") == 5
    vectors, backprop = model.begin_update(docs)
    assert [x.shape for x in vectors] == [(n, 5) for n in LENGTHS]
    numpy.testing.assert_array_equal(vectors[2][1], [4, 4, 4, 3, 3])
    gradients = [numpy.arange(n * 5, dtype="f").reshape(n, 5) for n in LENGTHS]
    assert backprop(gradients) is docs
    for whole, first, second in zip(gradients, left, right, strict=True):
        numpy.testing.assert_array_equal(numpy.hstack((first, second)), whole)
    assert [x.shape[1] for x in left] == [3, 3, 3]
