import copy
import pickle

import torch

from spacy_bloom.quantization.packed_weight import PackedWeight


def twice(weight, scales):
    return weight * 2 * scales


def test_is_made_again_when_a_weight_changes():
    weight, scales, packed = torch.ones(3), torch.ones(3), PackedWeight(twice)
    made = packed.of(weight, scales)
    assert packed.of(weight, scales) is made
    scales.mul_(3)
    assert packed.of(weight, scales).tolist() == [6.0] * 3
    assert packed.of(torch.zeros(3), scales).tolist() == [0.0] * 3


def test_copies_and_pickles_know_how_but_hold_nothing():
    packed = PackedWeight(twice)
    packed.of(torch.ones(3), torch.ones(3))
    for other in (copy.deepcopy(packed), pickle.loads(pickle.dumps(packed))):
        assert other._made is None and other.make is twice
