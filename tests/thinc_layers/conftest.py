"""A tiny random checkpoint, and models of it."""

import pytest

from spacy_bloom.thinc_layers.architectures import create_transformer_model


@pytest.fixture
def make_model(checkpoint):
    """A function that makes a transformer model, its weights loaded."""

    def make(window=512, context=128, max_batch_items=4096, **options):
        model = create_transformer_model(checkpoint, window=window, context=context, **options)
        model.attrs["max_batch_items"] = max_batch_items
        model.initialize()
        return model

    return make


@pytest.fixture
def check_gradient():
    """A function that compares the gradient of a layer's weights "W" with finite differences of a number that is linear
    in them.
    """

    def check(layer, number, tolerance, places=(0, 70, 150)):
        weights = layer.get_param("W").copy()
        for place in places:
            found = []
            for step in (-0.5, 0.5):  # of any size
                moved = weights.copy()
                moved[place] += step
                layer.set_param("W", moved)
                found.append(number())
            assert layer.get_grad("W")[place] == pytest.approx(found[1] - found[0], abs=tolerance)

    return check
