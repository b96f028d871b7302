"""A block's attention and MLP, alone: order of residuals, and projections that hold some of the heads."""

from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from spacy_bloom import BloomConfig
from spacy_bloom.bloom.alibi import alibi_slopes
from spacy_bloom.bloom.block import BloomAttention, BloomBlock, BloomMLP
from spacy_bloom.bloom.views import PackedView

CONFIG = BloomConfig(vocab_size=97, hidden_size=24, n_layer=1, n_head=3)
LENGTHS = [5, 3]


def random(module):
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) / 4
    return module.eval()


def part_of(attention, first, last):
    """Some of the heads, as a rank of a divided model holds them; the first adds the output's bias."""
    part, size = BloomAttention(CONFIG, 0), CONFIG.head_dim
    rows, columns = slice(3 * first * size, 3 * last * size), slice(first * size, last * size)
    part.query_key_value.weight = nn.Parameter(attention.query_key_value.weight[rows])
    part.query_key_value.bias = nn.Parameter(attention.query_key_value.bias[rows])
    part.dense.weight = nn.Parameter(attention.dense.weight[:, columns])
    part.dense.bias = nn.Parameter(attention.dense.bias * (first == 0))
    return part.eval()


@pytest.mark.parametrize("borders", [(0, 1, 3), (0, 1, 2, 3)])
@torch.no_grad()
def test_divided_heads_add_up_to_the_whole(borders):
    attention, slopes = random(BloomAttention(CONFIG, 0)), alibi_slopes(CONFIG.n_head)
    hidden, residual = torch.randn(2, sum(LENGTHS), CONFIG.hidden_size)
    expected = attention(hidden, residual, PackedView(LENGTHS, slopes))
    found = residual.clone()
    for first, last in pairwise(borders):
        view = PackedView(LENGTHS, slopes[first:last])
        found += part_of(attention, first, last)(hidden, torch.zeros_like(residual), view)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_the_mlp_is_the_same_with_and_without_gradients():
    mlp = random(BloomMLP(CONFIG))
    hidden, residual = torch.randn(2, 7, CONFIG.hidden_size)
    inner = F.gelu(mlp.dense_h_to_4h(hidden), approximate="tanh")
    expected = residual + mlp.dense_4h_to_h(inner)
    torch.testing.assert_close(mlp(hidden, residual), expected)
    with torch.no_grad():
        torch.testing.assert_close(mlp(hidden, residual.clone()), expected)


@pytest.mark.parametrize("after_norm", [False, True])
@torch.no_grad()
def test_residuals_are_taken_before_or_after_the_norm(after_norm):
    config = CONFIG.replace(apply_residual_connection_post_layernorm=after_norm)
    block, hidden = random(BloomBlock(config, 0)), torch.randn(sum(LENGTHS), CONFIG.hidden_size)
    view = PackedView(LENGTHS, alibi_slopes(CONFIG.n_head))
    normed = block.input_layernorm(hidden)
    attended = block.self_attention(normed, normed if after_norm else hidden, view)
    normed = block.post_attention_layernorm(attended)
    expected = block.mlp(normed, (normed if after_norm else attended).clone())
    assert torch.equal(block(hidden.clone(), view), expected)
    assert block(hidden, view).shape == hidden.shape
