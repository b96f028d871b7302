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


def test_each_gets_its_share_of_the_gradient():
    model, (left, right) = make(0.25)
    logits, backprop = model(DOCS, is_train=True)
    numpy.testing.assert_array_equal(logits, model.predict(DOCS))
    assert backprop(numpy.ones_like(logits)) is DOCS
    numpy.testing.assert_allclose(left.get_grad("b"), 0.75 * len(DOCS), rtol=1e-6)
    numpy.testing.assert_allclose(right.get_grad("b"), 0.25 * len(DOCS), rtol=1e-6)
