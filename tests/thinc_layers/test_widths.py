import pytest
from spacy_transformers.layers import TransformerListener
from thinc.api import Dropout, Linear, Maxout, Model, chain, list2array, reduce_mean, residual, tuplify

from spacy_bloom.thinc_layers.architectures import create_transformer_listener
from spacy_bloom.thinc_layers.widths import complete_widths


def listener(width=12, kind="ours"):
    model = create_transformer_listener(reduce_mean())
    node = model.get_ref("listener") if kind == "ours" else TransformerListener("*")
    if width is not None:
        node.set_dim("nO", width)
    return model if kind == "ours" else chain(node, *model.layers[1:])


def other():
    return Model("other", lambda model, X, is_train: (X, lambda d: d))


@pytest.mark.parametrize("kind", ["ours", "stock"])
@pytest.mark.parametrize(
    "build",
    [
        lambda start, inner: chain(start, list2array(), residual(inner), Linear(3)),
        lambda start, inner: chain(chain(start, list2array()), Dropout(), residual(inner)),
        lambda start, inner: chain(
            tuplify(chain(start, list2array()), other()), reduce_mean(), residual(inner)
        ),
    ],
)
def test_a_residual_connection_is_as_wide_as_the_vectors(build, kind):
    maxout = Maxout(nP=2)
    complete_widths(build(listener(kind=kind), chain(maxout, Dropout())))
    assert maxout.get_dim("nO") == 12 and maxout.has_dim("nI") is None


def test_of_a_chain_only_the_last_layer_is_known():
    hidden, output = Linear(), Linear()
    complete_widths(chain(listener(), list2array(), residual(chain(hidden, output, Dropout()))))
    assert output.get_dim("nO") == 12 and hidden.has_dim("nO") is None


def test_a_layer_between_sets_the_width():
    maxout = Maxout()
    complete_widths(chain(listener(), list2array(), Linear(5), residual(maxout)))
    assert maxout.get_dim("nO") == 5


@pytest.mark.parametrize(
    "model",
    [
        lambda inner: chain(listener(None), list2array(), residual(inner)),
        lambda inner: chain(other(), residual(inner)),
        lambda inner: chain(listener(), list2array(), Linear(), residual(inner)),
    ],
)
def test_what_is_not_known_stays_open(model):
    maxout = Maxout()
    complete_widths(model(maxout))
    assert maxout.has_dim("nO") is None


def test_given_sizes_stay():
    maxout = Maxout(7)
    complete_widths(chain(listener(), list2array(), residual(maxout)))
    assert maxout.get_dim("nO") == 7
