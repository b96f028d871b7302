import numpy
import pytest
from spacy.ml.models import MaxoutWindowEncoder
from thinc.api import Model, get_current_ops

from spacy_bloom.thinc_layers.token_classifier import create_token_classifier

X = [numpy.random.default_rng(i).normal(size=(n, 8)).astype("f") for i, n in enumerate((3, 1, 5))]


def vectors():
    """Stands for a listener: hands on what it is given."""
    return Model("vectors", lambda model, X, is_train: (X, lambda d: d), dims={"nO": 8})


@pytest.fixture
def ops():
    return get_current_ops()


def test_logits_are_a_linear_map_of_each_tokens_vector(ops):
    model = create_token_classifier(vectors(), nO=4)
    model.initialize(X=X)
    layer = model.get_ref("output_layer")
    layer.set_param("W", numpy.random.default_rng(9).normal(size=(4, 8)).astype("f"))
    for x, logits in zip(X, model.predict(X), strict=True):
        expected = x @ layer.get_param("W").T + layer.get_param("b")
        numpy.testing.assert_allclose(logits, expected, atol=1e-5)


@pytest.mark.parametrize("width", [4, 16])
def test_layers_between_have_their_own_width(width):
    encode = MaxoutWindowEncoder(width=width, window_size=1, maxout_pieces=2, depth=1)
    model = create_token_classifier(vectors(), encode, nO=3)
    model.initialize(X=X)
    assert [logits.shape for logits in model.predict(X)] == [(3, 3), (1, 3), (5, 3)]
    assert model.get_ref("output_layer").get_dim("nI") == width
    assert model.get_ref("encode") is encode and model.get_ref("tok2vec").name == "vectors"


def test_the_number_of_tags_can_come_later():
    model = create_token_classifier(vectors())
    assert model.get_ref("output_layer").has_dim("nO") is None
    model.get_ref("output_layer").set_dim("nO", 6)
    model.initialize(X=X)
    assert model.predict(X)[0].shape == (3, 6)
