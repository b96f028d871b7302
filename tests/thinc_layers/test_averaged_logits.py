import numpy
import pytest
from thinc.api import Linear, chain, with_array

from spacy_bloom.errors import ConfigError
from spacy_bloom.thinc_layers.averaged_logits import averaged_logits, classifiers

DOCS = numpy.random.default_rng(0).normal(size=(200, 4)).astype("f")


def make(share=0.5):
    layers = [Linear(3, 4), Linear(3, 4)]
    model = averaged_logits(*layers, share, of_tokens=False)
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


def test_lists_of_logits():
    layers = [with_array(Linear(3, 4)), with_array(Linear(3, 4))]
    model = averaged_logits(*layers, 0.25, of_tokens=True)
    texts = [DOCS[:3], DOCS[3:3], DOCS[3:8]]
    model.initialize(X=texts)
    found, backprop = model(texts, is_train=True)
    assert [x.shape for x in found] == [(3, 3), (0, 3), (5, 3)]
    for one, left, right in zip(found, *(layer.predict(texts) for layer in layers), strict=True):
        numpy.testing.assert_allclose(one, 0.75 * left + 0.25 * right, atol=1e-6)
    backprop([numpy.ones_like(x) for x in found])
    numpy.testing.assert_allclose(layers[1].layers[0].get_grad("b"), 0.25 * 8, rtol=1e-6)


def test_logits_of_the_wrong_things_are_refused():
    with pytest.raises(ConfigError, match="logits of each token from linear_model, got those of each Doc"):
        averaged_logits(Linear(3, 4), Linear(3, 4), 0.5, of_tokens=True).initialize(X=DOCS)
    texts = [DOCS[:3]]
    with pytest.raises(ConfigError, match="logits of each Doc from linear_model, got those of each token"):
        averaged_logits(with_array(Linear(3, 4)), with_array(Linear(3, 4)), 0.5, of_tokens=False).initialize(
            X=texts
        )


def test_the_two_are_found_by_what_they_are_and_not_by_a_name_in_a_file():
    model, layers = make()
    outer = chain(model, Linear(3, 3))
    outer.set_ref("linear_model", layers[1])
    model.name = "renamed"
    assert classifiers(outer) == layers and classifiers(layers[0]) == [layers[0]]
