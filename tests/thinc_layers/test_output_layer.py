import numpy
import pytest
from thinc.api import Linear, Model, chain, with_array

from spacy_bloom.thinc_layers.output_layer import has_output, keeping_output, set_output
from spacy_bloom.thinc_layers.text_classifier import linear_without_bias
from spacy_bloom.thinc_layers.token_classifier import create_token_classifier

X = [numpy.random.default_rng(i).normal(size=(n, 8)).astype("f") for i, n in enumerate((3, 1, 5))]


def vectors():
    return Model("vectors", lambda model, X, is_train: (X, lambda d: d), dims={"nO": 8})


def build(kind):
    if kind == "with a bias":
        return create_token_classifier(vectors())
    layer = linear_without_bias()
    model = chain(vectors(), with_array(layer))
    model.set_ref("output_layer", layer)
    model.set_ref("encode", None)
    return model


@pytest.mark.parametrize("kind", ["with a bias", "without"])
@pytest.mark.parametrize("larger", [3, 5])
def test_outputs_are_added_and_the_others_stay(kind, larger):
    model = build(kind)
    assert not has_output(model)
    set_output(model, 2)
    model.initialize(X=X)
    layer = model.get_ref("output_layer")
    assert has_output(model)
    layer.set_param("W", numpy.random.default_rng(7).normal(size=(2, 8)).astype("f"))
    before = model.predict(X)
    set_output(model, larger)
    assert model.get_ref("output_layer").get_dim("nO") == larger
    for one, other in zip(before, model.predict(X), strict=True):
        numpy.testing.assert_allclose(other[:, :2], one, atol=1e-6)
        assert other.shape[1] == larger


@pytest.mark.parametrize("n_outputs", [1, 2, 7])
def test_the_size_before_initialization(n_outputs):
    model = build("with a bias")
    set_output(model, n_outputs + 1)
    set_output(model, n_outputs)
    model.initialize(X=X)
    assert model.predict(X)[0].shape == (3, n_outputs)


def test_initialization_keeps_the_last_layer():
    model = create_token_classifier(vectors(), with_array(Linear(8, 8)), nO=2)
    model.initialize(X=X)
    layer = model.get_ref("output_layer")
    layer.set_param("W", numpy.ones((2, 8), dtype="f"))
    with keeping_output(model):
        model.initialize(X=X)
    assert (layer.get_param("W") == 1).all()
