import os

import torch

from spacy_bloom.thinc_layers.weights import forks
from spacy_bloom.thinc_layers.weights.settings import WeightSettings
from spacy_bloom.thinc_layers.weights.shim import BloomShim


def test_a_fork_computes_with_one_thread(monkeypatch, checkpoint):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        BloomShim(WeightSettings(checkpoint)).load()
        assert torch.get_num_threads() == 2
        monkeypatch.setattr(forks, "_process", os.getpid() + 1)
        BloomShim(WeightSettings(checkpoint)).load()
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
