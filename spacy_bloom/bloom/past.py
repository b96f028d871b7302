"""From what a caller passes as `past_key_values` to a cache that the blocks can go on with."""

from typing import Any, Protocol

import torch
from torch import Tensor

from ..config import BloomConfig
from ..errors import InputError
from .cache import KeyValueCache
from .cache_methods import Pair


class Cache(Protocol):
    """What a forward pass needs of a cache."""

    @property
    def length(self) -> int: ...

    @property
    def batch(self) -> int: ...

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int) -> Pair: ...


class BorrowedCache:
    """One of transformers' caches, which grows in place as it does there.

    cache (Any): It has `update` and `get_seq_length`.
    """

    def __init__(self, cache: Any) -> None:
        self.cache = cache
        self.length = int(cache.get_seq_length())  # before this pass

    @property
    def batch(self) -> int:
        """RETURNS (int): Number of rows; 0 if nobody can say."""
        pairs = list(self.cache) if self.length and hasattr(self.cache, "__iter__") else []
        return pairs[0][0].shape[0] if pairs else 0

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int) -> Pair:
        """As of KeyValueCache. Caches of a fixed size return their empty places too, which are cut off."""
        end = self.length + key_states.shape[2]
        places = torch.arange(self.length, end, device=key_states.device)
        keys, values = self.cache.update(key_states, value_states, layer_idx, {"cache_position": places})
        return keys[:, :, :end], values[:, :, :end]


def cache_of(past: Any, config: BloomConfig) -> tuple[Cache, Any]:
    """Take the keys and values that another call returned: a cache, or those of Hugging Face.

    past (Any): A KeyValueCache; pairs of keys and values by block, each of shape (batch, n_head, length, head_dim); or
        one of transformers' caches.
    config (BloomConfig): The model's config.
    RETURNS (tuple[Cache, Any]): What the blocks write to, and what the call returns as past_key_values: the caller's
        cache where that grows in place, else one that leaves what was passed as it is.
    RAISES (InputError): It is something else, or of another geometry.
    """
    if isinstance(past, KeyValueCache):
        cache = past.branch() if past.stays else past
        return cache, cache
    if hasattr(past, "update") and hasattr(past, "get_seq_length"):
        borrowed = BorrowedCache(past)
        if borrowed.length and hasattr(past, "__iter__"):
            _check(past, list(past), config)
        return borrowed, past
    try:
        pairs = [(keys, values) for keys, values in past]
    except (TypeError, ValueError):
        pairs = []
    _check(past, pairs, config)
    cache = KeyValueCache.holding(pairs, stays=True)
    return cache, cache


def learns(cache: Any) -> bool:
    """cache (Cache | None): What the blocks write to.
    RETURNS (bool): Whether its keys and values learn, as those of a tuned prefix do.
    """
    past = cache.cache if isinstance(cache, BorrowedCache) else cache
    if past is None or not cache.length or not hasattr(past, "__iter__"):
        return False
    return any(x.requires_grad for keys, values in past for x in (keys, values))


def _check(past: Any, pairs: list[Pair], config: BloomConfig) -> None:
    try:
        shapes = {tuple(x.shape) for pair in pairs for x in pair}
    except AttributeError:
        shapes = set()
    shape = next(iter(shapes), ())
    if (len(pairs), len(shapes), shape[1::2]) != (config.n_layer, 1, (config.n_head, config.head_dim)):
        raise InputError(
            f"Expected past_key_values as a KeyValueCache or as {config.n_layer} pairs of keys and values of one "
            f"shape (batch, {config.n_head}, length, {config.head_dim}); got {type(past).__name__} of "
            f"{len(pairs)} pairs with shapes {sorted(shapes)[:4]}."
        )
