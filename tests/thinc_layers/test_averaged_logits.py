import numpy
import pytest
from thinc.api import Linear

from spacy_bloom.thinc_layers.averaged_logits import averaged_logits

DOCS = numpy.random.default_rng(0).normal(size=(200, 4)).astype("f")


def make(share=0.5):
    layers = [Linear(3, 4), Linear(3, 4)]
    model = averaged_logits(*layers, share)
    model.initialize(X=DOCS)
    for layer in layers:
        layer.set_param("b", numpy.random.default_rng(1).normal(size=3).astype("f"))
    return model, layers


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_prediction_is_the_weighted_mean(share):
    model, (left, right) = make(share)
    expected = (1 - share) * left.predict(DOCS) + share * right.predict(DOCS)
    numpy.testing.assert_allclose(model.predict(DOCS), expected, atol=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.9])
def test_in_training_each_row_is_of_one_classifier_which_alone_learns_from_it(share):
    model, (left, right) = make(share)
    logits, backprop = model(DOCS, is_train=True)
    ones, others = left.predict(DOCS), right.predict(DOCS)
    of_left, of_right = ((abs(logits - x) < 1e-6).all(axis=1) for x in (ones, others))
    assert (of_left ^ of_right).all() and 60 < of_left.sum() < 140  # half of them, whatever the share
    backprop(numpy.ones_like(logits))
    numpy.testing.assert_allclose(left.get_grad("b"), of_left.sum(), rtol=1e-6)
    numpy.testing.assert_allclose(right.get_grad("b"), of_right.sum(), rtol=1e-6)
