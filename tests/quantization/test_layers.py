import copy
import pickle

import pytest
import torch
from torch import nn

from spacy_bloom.quantization.kernels import FULL, activation_range
from spacy_bloom.quantization.layers import Int8Embedding, Int8Linear, Int8LMHead

NONE = torch.tensor([], dtype=torch.long)


def linear(columns=96, features=40, *, bias=True, seed=0):
    torch.manual_seed(seed)
    return nn.Linear(columns, features, bias=bias)


@pytest.mark.parametrize("shape", [(96,), (5, 96), (2, 3, 96)])
@pytest.mark.parametrize("bias", [True, False])
def test_is_near_the_layer_it_stands_for(shape, bias):
    layer, inner = linear(bias=bias), torch.randn(shape)
    found = Int8Linear.of(layer, NONE)(inner)
    assert found.shape == (*shape[:-1], 40) and found.dtype == torch.float32
    assert (found - layer(inner)).norm() / layer(inner).norm() < 0.02


def test_columns_in_float_keep_the_precision_of_the_others():
    layer, inner = linear(), torch.randn(50, 96)
    inner[:, [3, 60]] *= 50.0
    exact = layer(inner).detach()
    rounded = Int8Linear.of(layer, NONE)(inner)
    apart = Int8Linear.of(layer, torch.tensor([3, 60]))(inner)
    bound = 0.001 if activation_range() == FULL else 0.002  # 7 bits have half the precision of 8
    assert (apart - exact).norm() / exact.norm() < bound
    assert (rounded - exact).norm() > 8 * (apart - exact).norm()


@pytest.mark.parametrize("columns", [[], [0, 95]])
def test_gradients_are_those_of_the_integers_in_float(columns):
    layer = Int8Linear.of(linear(), torch.tensor(columns, dtype=torch.long))
    inner = torch.randn(7, 96, requires_grad=True)
    weight = layer.dequantized()
    if columns:
        weight = weight.index_copy(1, layer.float_columns, layer.float_weight)
    upstream = torch.randn(7, 40)
    layer(inner).backward(upstream)
    assert torch.allclose(inner.grad, upstream @ weight, atol=1e-5)
    assert not any(parameter.requires_grad for parameter in layer.parameters())


def test_copies_and_pickles_make_the_packed_weight_again():
    layer, inner = Int8Linear.of(linear(), NONE), torch.randn(3, 96)
    expected = layer(inner)
    assert torch.equal(copy.deepcopy(layer)(inner), expected)
    assert torch.equal(pickle.loads(pickle.dumps(layer))(inner), expected)


def test_a_weight_that_is_replaced_is_packed_anew():
    layer, inner = Int8Linear.of(linear(), NONE), torch.randn(3, 96)
    other = Int8Linear.of(linear(seed=1), NONE)
    layer(inner)
    layer.load_state_dict(other.state_dict(), assign=True)
    assert torch.equal(layer(inner), other(inner))
    layer.load_state_dict(Int8Linear.of(linear(seed=2), NONE).state_dict())  # in place
    assert torch.equal(layer(inner), Int8Linear.of(linear(seed=2), NONE)(inner))


def test_half_precision_comes_back_as_it_went_in():
    inner = torch.randn(4, 96).bfloat16()
    assert Int8Linear.of(linear(), NONE)(inner).dtype == torch.bfloat16


def test_an_embedding_is_read_row_by_row():
    torch.manual_seed(0)
    embedding = nn.Embedding(30, 64)
    found = Int8Embedding.of(embedding)(torch.tensor([[4, 29], [0, 4]]))
    exact = embedding(torch.tensor([[4, 29], [0, 4]]))
    assert found.shape == (2, 2, 64)
    assert (found - exact).abs().max() <= exact.abs().max() / 127 * 0.51


@pytest.mark.parametrize("columns", [[], [1, 50]])
def test_a_head_answers_for_some_pieces_as_for_all(columns):
    head = Int8LMHead.of(linear(bias=False), torch.tensor(columns, dtype=torch.long))
    hidden = torch.randn(2, 5, 96)
    pieces = torch.tensor([39, 0, 7])
    assert torch.allclose(head.logits(hidden, pieces=pieces), head.logits(hidden)[..., pieces], atol=1e-6)
    assert head.vocab_size == 40


def test_a_tied_head_has_the_embeddings_integers():
    torch.manual_seed(0)
    embedding = nn.Embedding(40, 96)
    source = nn.Linear(96, 40, bias=False)
    source.weight = embedding.weight
    tied = Int8Embedding.of(embedding)
    head = Int8LMHead.of(source, NONE, tied)
    assert head.weight is tied.weight and head.weight_scale is tied.weight_scale
    hidden = torch.randn(3, 96)
    assert (head(hidden) - source(hidden)).norm() / source(hidden).norm() < 0.02
