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
