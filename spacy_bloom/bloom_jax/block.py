"""One decoder block of BLOOM: self-attention and MLP. Weights have the names and shapes of the checkpoints."""

import math

import jax
import jax.numpy as jnp
from flax import nnx

from ..config import BloomConfig

KeysValues = tuple[jax.Array, jax.Array]
Key = jax.Array | None  # for what is drawn; None outside training


class Linear(nnx.Module):
    """A linear layer, its weight (out, in) as in the files.

    size_in, size_out (int): Sizes of the last dimension.
    """

    def __init__(self, size_in: int, size_out: int, *, bias: bool = True) -> None:
        self.weight = nnx.Param(jax.ShapeDtypeStruct((size_out, size_in), jnp.float32))
        self.bias = nnx.Param(jax.ShapeDtypeStruct((size_out,), jnp.float32)) if bias else None

    def __call__(self, x: jax.Array) -> jax.Array:
        """x (jax.Array): Shape (..., size_in). RETURNS (jax.Array): Shape (..., size_out)."""
        y = jnp.einsum("...i,oi->...o", x, self.weight[...])
        return y if self.bias is None else y + self.bias[...]


class LayerNorm(nnx.Module):
    """Normalises the last dimension; computed in float32 in every dtype."""

    def __init__(self, size: int, epsilon: float) -> None:
        self.weight = nnx.Param(jax.ShapeDtypeStruct((size,), jnp.float32))
        self.bias = nnx.Param(jax.ShapeDtypeStruct((size,), jnp.float32))
        self.epsilon = epsilon

    def __call__(self, x: jax.Array) -> jax.Array:
        """x (jax.Array): Shape (..., size). RETURNS (jax.Array): Shape (..., size)."""
        centred = x.astype(jnp.float32)
        centred = centred - centred.mean(axis=-1, keepdims=True)
        variance = jnp.square(centred).mean(axis=-1, keepdims=True)
        normed = centred * jax.lax.rsqrt(variance + self.epsilon)
        return (normed * self.weight[...] + self.bias[...]).astype(x.dtype)


def dropout(x: jax.Array, rate: float, key: Key) -> jax.Array:
    """RETURNS (jax.Array): Some numbers 0, the others larger, so that the expectation stays. Shape of x."""
    if key is None or rate == 0.0:
        return x
    kept = jax.random.bernoulli(key, 1.0 - rate, x.shape)
    return jnp.where(kept, x / (1.0 - rate), 0.0).astype(x.dtype)


class Attention(nnx.Module):
    """Self-attention with one fused projection, interleaved head by head (query, key, value of head 0, ...)."""

    def __init__(self, config: BloomConfig) -> None:
        self.n_head, self.head_dim = config.n_head, config.head_dim
        self.rate = config.attention_dropout
        self.query_key_value = Linear(config.hidden_size, 3 * config.hidden_size)
        self.dense = Linear(config.hidden_size, config.hidden_size)

    def __call__(
        self, hidden: jax.Array, bias: jax.Array, held: KeysValues | None, start: jax.Array | int, key: Key
    ) -> tuple[jax.Array, KeysValues, jax.Array]:
        """
        hidden (jax.Array): Normalised hidden states. Shape (batch, length, hidden_size).
        bias (jax.Array): Shape (batch, n_head, length, keys).
        held (KeysValues | None): Of earlier calls; the new ones are written into them from column `start` on.
            Shapes (batch, keys, n_head, head_dim).
        key (Key): For dropout.
        RETURNS (tuple): The output, shape (batch, length, hidden_size); keys and values; the attention weights, shape
            (batch, n_head, length, keys).
        """
        fused = self.query_key_value(hidden).reshape(*hidden.shape[:2], self.n_head, 3, self.head_dim)
        queries, keys, values = jnp.moveaxis(fused, 3, 0)  # 3 x (batch, length, n_head, head_dim)
        if held is not None:
            keys = jax.lax.dynamic_update_slice_in_dim(held[0], keys, start, axis=1)
            values = jax.lax.dynamic_update_slice_in_dim(held[1], values, start, axis=1)
        # Scores and softmax are float32 in every dtype.
        scores = jnp.einsum("bqhd,bkhd->bhqk", queries, keys, preferred_element_type=jnp.float32)
        weights = jax.nn.softmax(scores / math.sqrt(self.head_dim) + bias, axis=-1).astype(values.dtype)
        weights = dropout(weights, self.rate, key)
        context = jnp.einsum("bhqk,bkhd->bqhd", weights, values)
        return self.dense(context.reshape(hidden.shape)), (keys, values), weights


class MLP(nnx.Module):
    """Two linear layers with GELU (tanh approximation) between them."""

    def __init__(self, config: BloomConfig) -> None:
        self.dense_h_to_4h = Linear(config.hidden_size, 4 * config.hidden_size)
        self.dense_4h_to_h = Linear(4 * config.hidden_size, config.hidden_size)

    def __call__(self, hidden: jax.Array) -> jax.Array:
        """hidden (jax.Array): Shape (..., hidden_size). RETURNS (jax.Array): Shape (..., hidden_size)."""
        return self.dense_4h_to_h(jax.nn.gelu(self.dense_h_to_4h(hidden), approximate=True))


class Block(nnx.Module):
    """Attention and MLP, each behind a layer norm, with residuals from before or after the norm."""

    def __init__(self, config: BloomConfig) -> None:
        self.residual_after_norm = config.apply_residual_connection_post_layernorm
        self.rate = config.hidden_dropout
        self.input_layernorm = LayerNorm(config.hidden_size, config.layer_norm_epsilon)
        self.self_attention = Attention(config)
        self.post_attention_layernorm = LayerNorm(config.hidden_size, config.layer_norm_epsilon)
        self.mlp = MLP(config)

    def __call__(
        self, hidden: jax.Array, bias: jax.Array, held: KeysValues | None, start: jax.Array | int, key: Key
    ) -> tuple[jax.Array, KeysValues, jax.Array]:
        """Arguments and results as of Attention."""
        keys = (None, None, None) if key is None else jax.random.split(key, 3)
        normed = self.input_layernorm(hidden)
        output, held, weights = self.self_attention(normed, bias, held, start, keys[0])
        attended = dropout(output, self.rate, keys[1]) + (normed if self.residual_after_norm else hidden)
        normed = self.post_attention_layernorm(attended)
        output = dropout(self.mlp(normed), self.rate, keys[2])
        return output + (normed if self.residual_after_norm else attended), held, weights
