"""The methods of transformers' DynamicCache, on both."""

import copy

import pytest
import torch
from transformers import DynamicCache

from spacy_bloom.bloom.cache import KeyValueCache


def draw(length, *, batch=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [tuple(torch.randn(batch, 3, length, 4, generator=generator) for _ in range(2)) for _ in range(2)]


@pytest.fixture(params=["gradients", "no gradients"])
def caches(request):
    with torch.set_grad_enabled(request.param == "gradients"):
        found = KeyValueCache(2), DynamicCache()
        for cache in found:
            for part in (draw(5), draw(2, seed=1)):
                for layer, (keys, values) in enumerate(part):
                    cache.update(keys, values, layer, {"cache_position": None})
        yield found


def assert_same(ours, theirs):
    pairs = list(theirs)
    assert len(ours) == len(list(ours)) == len(pairs)
    for mine, pair in zip(ours, pairs, strict=True):
        for x, y in zip(mine, pair, strict=True):
            assert torch.equal(x, y)


def test_reading(caches):
    ours, theirs = caches
    assert_same(ours, theirs)
    for cache in caches:
        assert (len(cache), cache.get_seq_length(), cache.get_seq_length(1)) == (2, 7, 7)
        assert cache.get_max_cache_shape() is None and cache.get_usable_length(3) == 7
        assert cache.get_mask_sizes(torch.arange(7, 9), 0) == (9, 0) and not cache.is_compileable
        assert cache.seen_tokens == 7
        keys, values = cache[1]
        assert torch.equal(keys, cache.key_cache[1]) and torch.equal(values, cache.value_cache[1])
        legacy = cache.to_legacy_cache()
        assert (
            isinstance(legacy, tuple) and isinstance(legacy[0], tuple) and legacy[0][0].shape == (2, 3, 7, 4)
        )
        assert_same(type(cache).from_legacy_cache(legacy), theirs)
    (first,) = ours[:1]
    assert torch.equal(first[0], ours[0][0]) and torch.equal(ours[-1][0], ours[1][0])


def test_an_empty_one_has_nothing():
    for cache in (KeyValueCache(2), DynamicCache()):
        assert cache.get_seq_length() == 0 and list(cache) == [] and cache.to_legacy_cache() == ()
    assert len(KeyValueCache.from_legacy_cache()) == 0 == KeyValueCache(0).get_seq_length()


@pytest.mark.parametrize("change", [
    lambda cache: cache.crop(4),
    lambda cache: cache.crop(-2),
    lambda cache: cache.reorder_cache(torch.tensor([1, 0])),
    lambda cache: cache.batch_repeat_interleave(3),
    lambda cache: cache.batch_select_indices(torch.tensor([1])),
])  # fmt: skip
def test_changing(caches, change):
    ours, theirs = caches
    for cache in caches:
        change(cache)
    assert_same(ours, theirs)
    batch = ours[0][0].shape[0]
    for cache in caches:
        for layer, (keys, values) in enumerate(draw(3, batch=batch, seed=2)):
            cache.update(keys, values, layer)
    assert_same(ours, theirs)


def test_splitting_and_joining(caches):
    ours, theirs = caches
    parts = ours.batch_split(2, 1)
    for part, other in zip(parts, theirs.batch_split(2, 1), strict=True):
        assert_same(part, other)
    assert_same(KeyValueCache.from_batch_splits(parts), theirs)


def test_a_copy_goes_on_alone(caches):
    ours, theirs = caches
    with torch.no_grad():
        other = copy.deepcopy(ours)
        for layer, (keys, values) in enumerate(draw(1, seed=3)):
            other.update(keys, values, layer)
    assert other.get_seq_length() == 8
    assert_same(ours, theirs)
