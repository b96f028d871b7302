"""Keys and values of the pieces that were already computed."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import struct

from ..config import BloomConfig


@struct.dataclass
class KeyValueCache:
    """A fixed number of columns that fill up call by call; never changed in place.

    keys, values (tuple[jax.Array, ...]): Of each block. Shape (batch, max_length, n_head, head_dim).
    mask (jax.Array): 1 for pieces, 0 for padding and free columns. Shape (batch, max_length), int32.
    index (jax.Array): Columns in use. Shape (), int32.
    """

    keys: tuple[jax.Array, ...]
    values: tuple[jax.Array, ...]
    mask: jax.Array
    index: jax.Array

    @property
    def max_length(self) -> int:
        """RETURNS (int): Number of columns, in use and free."""
        return self.mask.shape[1]

    def map_rows(self, change: Callable[[jax.Array], jax.Array]) -> "KeyValueCache":
        """RETURNS (KeyValueCache): With rows chosen, reordered or repeated.
        change (Callable): Applied to each array; the rows are its first dimension.
        """
        keys, values = tuple(map(change, self.keys)), tuple(map(change, self.values))
        return KeyValueCache(keys, values, change(self.mask), self.index)


def init_cache(config: BloomConfig, batch_size: int, max_length: int, dtype: jnp.dtype) -> KeyValueCache:
    """RETURNS (KeyValueCache): Empty, for rows of at most max_length pieces, padding included."""
    shape = (batch_size, max_length, config.n_head, config.head_dim)
    # An array for every block and side: one that is there twice could not be given up to a compiled program.
    keys, values = (tuple(jnp.zeros(shape, dtype) for _ in range(config.n_layer)) for _ in range(2))
    return KeyValueCache(keys, values, jnp.zeros(shape[:2], jnp.int32), jnp.zeros((), jnp.int32))
