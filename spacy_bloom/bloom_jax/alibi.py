"""ALiBi, causality and padding in one bias."""

import jax
import jax.numpy as jnp

from ..bloom.alibi import alibi_slopes

LOWEST = jnp.finfo(jnp.float32).min


def attention_bias(
    n_head: int, mask: jax.Array, start: jax.Array | int, length: int, end: jax.Array | int
) -> jax.Array:
    """The bias added to the scaled scores, `slope * (key position - query position)` where a query sees a key.

    Positions count the pieces of a row, so that padding on the left does not shift them. Keys that a query does not see
    get float32's lowest number, as in the PyTorch core: a query without any keys attends evenly. What is not there at
    all, the free room of a cache or what fills up a bucket, gets -inf.

    mask (jax.Array): 1 for pieces, 0 for padding. Shape (batch, keys).
    start (jax.Array | int): Column of the first query.
    length (int): Number of queries.
    end (jax.Array | int): Columns in use.
    RETURNS (jax.Array): float32. Shape (batch, n_head, length, keys).
    """
    slopes = jnp.asarray(alibi_slopes(n_head).numpy())
    positions = (jnp.cumsum(mask, axis=1) - 1) * mask  # (batch, keys)
    query_positions = jax.lax.dynamic_slice_in_dim(positions, start, length, axis=1)
    distance = positions[:, None, :] - query_positions[:, :, None]  # (batch, length, keys)
    columns = jnp.arange(mask.shape[1])
    future = columns[None, :] > (start + jnp.arange(length))[:, None]  # (length, keys)
    hidden = future[None] | (mask[:, None, :] == 0)  # (batch, length, keys)
    bias = slopes[None, :, None, None] * distance[:, None].astype(jnp.float32)
    return jnp.where(columns < end, jnp.where(hidden[:, None], LOWEST, bias), -jnp.inf)
