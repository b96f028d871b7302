"""A shim with weights of its own, and its vectors."""

import numpy
import pytest
import torch
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_bloom.thinc_layers.pieces.windows import WindowSettings
from spacy_bloom.thinc_layers.transformer_model import bloom_transformer_model
from spacy_bloom.thinc_layers.weights.settings import WeightSettings
from spacy_bloom.thinc_layers.weights.shim import BloomShim

DOCS = [Doc(Vocab(), words=["The", "river", "今天", "café"]), Doc(Vocab(), words=["a"])]


@pytest.fixture
def shim(checkpoint):
    """Loaded, and with other weights than the checkpoint's."""
    shim = BloomShim(WeightSettings(checkpoint))
    with torch.no_grad():
        for parameter in shim.module.parameters():
            parameter.add_(0.01 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return shim


@pytest.fixture
def vectors():
    """A function from a shim to the vectors of some Docs. Shape (pieces, hidden_size)."""

    def run(shim):
        model = bloom_transformer_model(shim, WindowSettings(64, 8))
        return numpy.concatenate([d.tensors[0][0] for d in model.predict(DOCS).doc_data])

    return run
