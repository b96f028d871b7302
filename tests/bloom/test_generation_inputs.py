"""On both libraries' language models."""

import pytest
import torch
import transformers
from transformers import DynamicCache

from spacy_bloom import BloomConfig, BloomForCausalLM
from spacy_bloom.bloom.cache import KeyValueCache

FIELDS = dict(vocab_size=50, hidden_size=24, n_layer=2, n_head=3)
IDS = torch.arange(14).view(2, 7)


@pytest.fixture(scope="module")
def models():
    return (
        BloomForCausalLM(BloomConfig(**FIELDS)),
        transformers.BloomForCausalLM(transformers.BloomConfig(**FIELDS)),
    )


def filled(cache, length):
    for layer in range(2):
        cache.update(torch.zeros(2, 3, length, 8), torch.zeros(2, 3, length, 8), layer)
    return cache


@pytest.mark.parametrize("past", [0, 4, 6])
@pytest.mark.parametrize("embeds", [False, True])
def test_what_is_fed_next(models, past, embeds):
    position = torch.arange(past, 7)
    found = []
    for model, make in zip(models, (lambda: KeyValueCache(2), DynamicCache), strict=True):
        cache = filled(make(), past) if past else None
        options = dict(
            past_key_values=cache,
            attention_mask=torch.ones(2, 7),
            inputs_embeds=torch.ones(2, 7, 24) if embeds else None,
            cache_position=position,
            use_cache=True,
        )
        ids = IDS[:, 7:] if embeds and not past else IDS
        found.append(model.prepare_inputs_for_generation(ids, **options, unknown=1))
        assert found[-1].pop("past_key_values") is cache
    ours, theirs = found
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        same = torch.equal(ours[name], value) if isinstance(value, torch.Tensor) else ours[name] == value
        assert same, name


def test_places_follow_from_the_cache(models):
    ours = models[0].prepare_inputs_for_generation(IDS, past_key_values=filled(KeyValueCache(2), 5))
    assert ours["cache_position"].tolist() == [5, 6] and torch.equal(ours["input_ids"], IDS[:, 5:])
    assert models[0].prepare_inputs_for_generation(IDS)["cache_position"].tolist() == list(range(7))
