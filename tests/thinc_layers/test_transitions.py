import numpy
import pytest
from thinc.api import Model, chain

from spacy_bloom.thinc_layers.transitions import resize_transitions, transitions


def make(n_tags=3):
    layer = transitions()
    layer.initialize(X=[numpy.zeros((4, n_tags), dtype="float32")])
    return layer


def test_logits_and_their_gradients_pass_as_they_are():
    logits = [numpy.ones((2, 3), dtype="float32"), numpy.zeros((0, 3), dtype="float32")]
    layer = make()
    found, backprop = layer(logits, is_train=True)
    assert found is logits and backprop(found) is logits


def test_scores_begin_at_zero():
    scores = make().get_param("W")
    assert scores.shape == (4, 3) and not scores.any()


@pytest.mark.parametrize("n_tags", [3, 5])
def test_more_tags_keep_what_was_learnt(n_tags):
    layer = make()
    layer.set_param("W", numpy.arange(12, dtype="float32").reshape(4, 3))
    model: Model = chain(
        Model("before", lambda model, X, is_train: (X, lambda d: d), dims={"nO": None}), layer
    )
    model.set_ref("transitions", layer)
    resize_transitions(model, n_tags)
    scores = model.get_ref("transitions").get_param("W")
    assert model.layers[-1] is model.get_ref("transitions")
    assert scores.shape == (n_tags + 1, n_tags)
    assert scores[:3, :3].tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert scores[-1, :3].tolist() == [9, 10, 11]
    assert not scores[3:-1].any() and not scores[:, 3:].any()
