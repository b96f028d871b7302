import pytest
import torch
from torch import nn

from spacy_bloom import BloomModel
from spacy_bloom.thinc_layers.weights.encoder import BloomEncoder
from spacy_bloom.thinc_layers.weights.layer_mix import LayerMix
from spacy_bloom.thinc_layers.weights.settings import WeightSettings
from spacy_bloom.thinc_layers.weights.shim import BloomShim

IDS, LENGTHS = torch.arange(3, 12), [4, 5]


@pytest.fixture
def decoder(checkpoint):
    return BloomModel.from_pretrained(checkpoint)


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_it_gives_out_the_last_state(decoder, layers):
    expected = decoder.encode_packed(IDS, LENGTHS, bidirectional_layers=layers)
    assert torch.equal(BloomEncoder(decoder, bidirectional_layers=layers)(IDS, LENGTHS), expected)


def test_or_a_mixture_of_all(decoder):
    mix = LayerMix(decoder.config.n_layer)
    expected = mix(decoder.hidden_states_packed(IDS, LENGTHS, bidirectional_layers=1))
    assert torch.equal(BloomEncoder(decoder, bidirectional_layers=1, mix=mix)(IDS, LENGTHS), expected)


class Doubled(nn.Module):
    """Stands for a layer that is put in from outside: quantized, sharded, adapted."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return 2 * self.inner(x)


@pytest.mark.parametrize("way", ["predict", "begin_update"])
def test_a_decoder_that_was_changed_from_outside_is_what_encodes(checkpoint, way, difference):
    """After it was loaded: a linear layer is replaced by another kind."""
    shim, plain = (BloomShim(WeightSettings(checkpoint)) for _ in range(2))
    for block in shim.module.h:
        block.self_attention.query_key_value = Doubled(block.self_attention.query_key_value)
    with torch.no_grad():
        for block in plain.module.h:
            block.self_attention.query_key_value.weight.mul_(2)
            block.self_attention.query_key_value.bias.mul_(2)

    def run(shim):
        return shim.predict((IDS, LENGTHS)) if way == "predict" else shim.begin_update((IDS, LENGTHS))[0]

    assert difference(run(shim), run(plain)) < 1e-5
