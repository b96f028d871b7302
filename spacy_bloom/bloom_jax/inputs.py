"""Batches as they are given, checked where their numbers are known: while JAX traces, they are not."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..config import BloomConfig
from ..errors import InputError
from .cache import KeyValueCache


def concrete(array: Any) -> np.ndarray | None:
    """RETURNS (np.ndarray | None): The numbers of an array; None while JAX traces."""
    return None if isinstance(array, jax.core.Tracer) else np.asarray(array)


def to_batch(
    config: BloomConfig, input_ids: Any, attention_mask: Any, cache: KeyValueCache | None = None
) -> tuple[Any, Any]:
    """
    RETURNS (tuple): Ids and mask, int32; of numpy where their numbers are known. Shapes (batch, length); with a cache,
        the mask's may be (batch, max_length).
    RAISES (InputError): They do not fit each other, the vocabulary or the cache.
    """
    ids = _to_int32("input_ids", input_ids)
    if ids.ndim != 2:
        raise InputError(f"Expected input_ids of shape (batch, length), got {ids.shape}.")
    known = concrete(ids)
    if known is not None and known.size and not (known.min() >= 0 and known.max() < config.vocab_size):
        raise InputError(
            f"Expected ids from 0 to {config.vocab_size - 1}, got {known.min()} to {known.max()}. "
            "Do tokenizer and model belong to the same checkpoint?"
        )
    shapes = [ids.shape] if cache is None else [ids.shape, cache.mask.shape]
    mask = (
        np.ones(ids.shape, np.int32)
        if attention_mask is None
        else _to_int32("attention_mask", attention_mask)
    )
    if mask.shape not in shapes:
        raise InputError(
            f"Expected attention_mask of shape {' or '.join(map(str, shapes))}, got {mask.shape}."
        )
    if cache is not None:
        _check_room(cache, ids.shape)
    return ids, mask


def _to_int32(name: str, array: Any) -> Any:
    known = concrete(array)
    found = array if known is None else known
    if found.dtype != bool and not jnp.issubdtype(found.dtype, jnp.integer):
        raise InputError(f"Expected {name} as integers, got {found.dtype}.")
    return found.astype(np.int32)


def _check_room(cache: KeyValueCache, shape: tuple[int, int]) -> None:
    batch, length = shape
    known = concrete(cache.index)
    used = 0 if known is None else int(known)
    if cache.mask.shape[0] != batch or used + length > cache.max_length:
        raise InputError(
            f"Expected past_key_values of {batch} rows with room for {length} more pieces, got "
            f"{cache.mask.shape[0]} rows and room for {cache.max_length - used}."
        )
