import copy

import torch
from torch import nn

from spacy_bloom import BloomConfig, BloomModel
from spacy_bloom.parallel.becoming import become, become_also


class Doubling(nn.Linear):
    def forward(self, inner):
        return 2 * super().forward(inner)


class Counting(nn.Module):
    def encode_packed(self, *args, **kwargs):
        self.calls = getattr(self, "calls", 0) + 1
        return super().encode_packed(*args, **kwargs)


def test_a_module_keeps_its_weights():
    layer = nn.Linear(3, 2)
    weight, expected = layer.weight, 2 * layer(torch.ones(1, 3))
    become(layer, Doubling)
    assert layer.weight is weight and list(dict(layer.named_parameters())) == ["weight", "bias"]
    assert torch.equal(layer(torch.ones(1, 3)), expected)


def test_a_module_that_becomes_another_too_is_still_what_it_was():
    model = BloomModel(BloomConfig(n_head=1, hidden_size=4, n_layer=1, vocab_size=9)).eval()
    expected = model.encode_packed(torch.tensor([3]), [1])
    become_also(model, Counting)
    assert isinstance(model, BloomModel) and type(model).__name__ == "BloomModel"
    for one in (model, copy.deepcopy(model)):
        assert torch.equal(one.encode_packed(torch.tensor([3]), [1]), expected)
        assert one.calls
