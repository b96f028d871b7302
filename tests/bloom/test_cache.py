import pytest
import torch

from spacy_bloom.bloom.cache import KeyValueCache


def test_an_empty_cache():
    cache = KeyValueCache(3)
    assert (len(cache), cache.length) == (3, 0)
    with pytest.raises(IndexError, match="block 1"):
        cache[1]


def test_it_grows_block_by_block():
    cache = KeyValueCache(2)
    generator = torch.Generator().manual_seed(0)
    steps = [[torch.randn(2, 3, new, 4, generator=generator) for _ in range(4)] for new in (5, 1, 2)]
    for step in steps:
        for layer in range(2):
            keys, values = cache.update(layer, step[2 * layer], step[2 * layer + 1])
            assert keys is cache[layer][0] and values is cache[layer][1]
    assert cache.length == 8
    for layer in range(2):
        keys, values = cache[layer]
        assert keys.shape == values.shape == (2, 3, 8, 4)  # (batch, n_head, length, head_dim)
        assert torch.equal(keys, torch.cat([step[2 * layer] for step in steps], dim=2))
        assert torch.equal(values, torch.cat([step[2 * layer + 1] for step in steps], dim=2))
