import numpy as np
import pytest
import torch

jax = pytest.importorskip("jax", reason="jax is not installed: pip install spacy-bloom[jax].")
import jax.numpy as jnp
from flax import nnx

from spacy_bloom.bloom_jax.block import LayerNorm, Linear, dropout

X = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
WEIGHT = np.random.default_rng(1).normal(size=(5, 8)).astype(np.float32)
BIAS = np.random.default_rng(2).normal(size=8).astype(np.float32)


def test_linear_takes_weights_as_files_have_them(gap):
    layer = Linear(8, 5, bias=False)
    layer.weight = nnx.Param(jnp.asarray(WEIGHT))
    assert gap(layer(X), torch.nn.functional.linear(torch.tensor(X), torch.tensor(WEIGHT))) < 1e-6


def test_layer_norm_equals_torch_in_every_dtype(gap):
    layer = LayerNorm(8, 1e-5)
    layer.weight, layer.bias = nnx.Param(jnp.asarray(WEIGHT[0])), nnx.Param(jnp.asarray(BIAS))
    weight, bias = torch.tensor(WEIGHT[0]), torch.tensor(BIAS)
    expected = torch.nn.functional.layer_norm(torch.tensor(X * 100), (8,), weight, bias, 1e-5)
    assert gap(layer(X * 100), expected) < 1e-6
    half = layer(jnp.asarray(X * 100, jnp.float16))
    assert half.dtype == jnp.float16 and gap(half, expected) < 2e-3


def test_dropout_keeps_the_expectation():
    x = np.ones(20000, np.float32)
    dropped = np.asarray(dropout(x, 0.25, jax.random.key(0)))
    assert set(np.unique(dropped)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs(dropped.mean() - 1) < 0.02
    assert dropout(x, 0.25, None) is x and dropout(x, 0.0, jax.random.key(0)) is x
