import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="jax is not installed: pip install spacy-bloom[jax].")

from spacy_bloom import BloomConfig
from spacy_bloom.bloom_jax.cache import init_cache


def test_rows_are_chosen_and_repeated():
    cache = init_cache(BloomConfig(n_layer=2, n_head=3, hidden_size=24), 2, 5, np.dtype("float16"))
    assert cache.max_length == 5 and len(cache.keys) == len(cache.values) == 2
    assert cache.keys[0].shape == (2, 5, 3, 8) and cache.keys[0].dtype == np.float16
    cache = cache.replace(mask=cache.mask.at[1].set(1), index=cache.index + 4)
    chosen = cache.map_rows(lambda array: array[np.array([1, 1, 0])])
    assert chosen.mask.tolist() == [[1] * 5, [1] * 5, [0] * 5]
    assert chosen.values[1].shape == (3, 5, 3, 8) and int(chosen.index) == 4


def test_cache_is_a_pytree():
    cache = init_cache(BloomConfig(n_layer=2), 1, 4, np.dtype("float32"))
    assert len(jax.tree.leaves(cache)) == 2 * 2 + 2
