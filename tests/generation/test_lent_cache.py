import pytest
import torch
from transformers import DynamicCache

from spacy_bloom.bloom.cache import KeyValueCache
from spacy_bloom.errors import InputError
from spacy_bloom.generation.lent_cache import LentCache


@pytest.fixture
def pairs():
    generator = torch.Generator().manual_seed(0)
    return [tuple(torch.randn(1, 3, 4, 8, generator=generator) for _ in range(2)) for _ in range(2)]


def grow(cache, pairs):
    with torch.no_grad():
        for layer, (keys, values) in enumerate(pairs):
            cache.update(keys[:, :, :1], values[:, :, :1], layer)


def test_ours_is_used_itself(language_model, pairs):
    cache = KeyValueCache.from_legacy_cache(pairs)
    lent = LentCache(cache, language_model.config)
    assert lent.cache is cache and lent.give_back(5) == 5


def test_one_of_transformers_grows(language_model, pairs):
    theirs = DynamicCache.from_legacy_cache(tuple(pairs))
    lent = LentCache(theirs, language_model.config)
    grow(lent.cache, pairs)
    assert theirs.get_seq_length() == 4
    lent.give_back(None)
    assert theirs.get_seq_length() == 5
    assert torch.equal(theirs[1][0], torch.cat((pairs[1][0], pairs[1][0][:, :, :1]), dim=2))


def test_pairs_stay_as_they_are(language_model, pairs):
    kept = [[x.clone() for x in pair] for pair in pairs]
    lent = LentCache(tuple(pairs), language_model.config)
    grow(lent.cache, pairs)
    assert lent.cache.length == 5
    assert all(
        torch.equal(x, y)
        for pair, other in zip(pairs, kept, strict=True)
        for x, y in zip(pair, other, strict=True)
    )
    with pytest.raises(InputError, match="past_key_values"):
        LentCache(pairs[:1], language_model.config)
