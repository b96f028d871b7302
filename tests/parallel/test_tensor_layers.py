"""Of layers between which nothing is exchanged; the rest is in test_tensor_parallel.py."""

import pytest
import torch

from spacy_bloom.bloom.lm_head import LinearLMHead
from spacy_bloom.parallel.becoming import become
from spacy_bloom.parallel.tensor_layers import DividedLinearLMHead, own_places


def test_places_of_own_rows():
    places, outside = own_places(torch.tensor([0, 4, 5, 9, 10, -100]), first=5, width=5)
    assert places.tolist() == [0, 0, 0, 4, 0, 0]
    assert outside.tolist() == [True, True, False, False, True, True]


def test_a_divided_head_does_not_learn():
    head = LinearLMHead(4, 10)
    become(head, DividedLinearLMHead)
    assert head.own_width == 10
    with pytest.raises(NotImplementedError, match="prediction only"):
        head.loss(torch.ones(2, 4), torch.tensor([1, 2]))
