"""What may be passed as past_key_values; numbers are those of Hugging Face's models."""

import pytest
import torch
import transformers
from transformers import DynamicCache, StaticCache

from spacy_bloom import BloomConfig, BloomForCausalLM
from spacy_bloom.bloom.cache import KeyValueCache
from spacy_bloom.bloom.past import BorrowedCache, cache_of
from spacy_bloom.errors import InputError

CONFIG = BloomConfig(vocab_size=50, hidden_size=24, n_layer=2, n_head=3)


@pytest.fixture(scope="module")
def theirs(randomize):
    return randomize(transformers.BloomForCausalLM(transformers.BloomConfig(**CONFIG.to_diff_dict()))).eval()


@pytest.fixture(scope="module")
def ours(theirs):
    model = BloomForCausalLM(CONFIG).eval()
    model.load_state_dict(theirs.state_dict())
    return model


IDS = torch.randint(50, (2, 9), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("make", [
    lambda model: DynamicCache(),
    lambda model: StaticCache(model.config, max_batch_size=2, max_cache_len=12),
])  # fmt: skip
@torch.no_grad()
def test_transformers_caches_grow_in_place(ours, theirs, difference, make):
    expected = theirs(IDS).logits
    cache, done = make(theirs), 0
    for new in (5, 1, 3):
        output = ours(IDS[:, done : done + new], past_key_values=cache, use_cache=True)
        assert output.past_key_values is cache
        assert difference(output.logits, expected[:, done : done + new]) < 1e-5
        done += new
        assert int(cache.get_seq_length()) == done


@torch.no_grad()
def test_their_model_goes_on_with_our_keys_and_values(ours, theirs, difference):
    past = ours(IDS[:, :5]).past_key_values
    for taken in (past.to_legacy_cache(), DynamicCache.from_legacy_cache(past)):
        output = theirs(IDS[:, 5:], past_key_values=taken, use_cache=True)
        assert difference(output.logits, theirs(IDS).logits[:, 5:]) < 1e-5


@pytest.mark.parametrize("kind", ["returned", "tuple"])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_several_texts_go_on_from_what_a_call_returned(ours, theirs, difference, kind, mode):
    """Hugging Face's BLOOM returns tuples, which no later call changes."""
    with mode():
        past = ours(IDS[:, :4]).past_key_values
        past = past.to_legacy_cache() if kind == "tuple" else past
        for end in (7, 9, 6):  # the same pieces, and others after them
            text = torch.cat((IDS[:, :4], IDS[:, 4:end].flip(1)), dim=1)
            expected = theirs(text).logits[:, 4:]
            first = ours(text[:, 4:5], past_key_values=past)
            second = ours(text[:, 5:], past_key_values=first.past_key_values)
            assert difference(torch.cat((first.logits, second.logits), dim=1), expected) < 1e-5
            assert second.past_key_values.get_seq_length() == end
        assert len(past) == 2 and past[0][0].shape[2] == 4


@torch.no_grad()
def test_a_branch_copies_nothing_until_it_must(ours):
    past = ours(IDS[:, :4]).past_key_values
    one = ours(IDS[:, 4:5], past_key_values=past).past_key_values
    other = ours(IDS[:, 5:6], past_key_values=past).past_key_values
    assert one[0][0].data_ptr() == past[0][0].data_ptr() != other[0][0].data_ptr()
    one.crop(4)  # what was taken back here is not written over: another cache may see it
    two = ours(IDS[:, 6:7], past_key_values=one).past_key_values
    assert two[0][0].data_ptr() != past[0][0].data_ptr()


@torch.no_grad()
def test_a_cache_of_the_callers_grows_in_place(ours):
    cache = KeyValueCache(2)
    output = ours(IDS[:, :4], past_key_values=cache)
    assert output.past_key_values is cache and cache.get_seq_length() == 4
    assert ours(IDS[:, 4:], past_key_values=cache, use_cache=False).past_key_values is None
    assert cache.get_seq_length() == 9


def test_what_the_blocks_write_to_and_what_is_returned():
    mine = KeyValueCache(2)
    assert cache_of(mine, CONFIG) == (mine, mine)
    cache, kept = cache_of(DynamicCache(), CONFIG)
    assert isinstance(cache, BorrowedCache) and isinstance(kept, DynamicCache)
    returned = KeyValueCache(2, stays=True)
    cache, kept = cache_of(returned, CONFIG)
    assert cache is kept is not returned


def test_rows_and_blocks_that_do_not_fit(ours):
    with torch.no_grad():
        past = ours(IDS[:, :4]).past_key_values
        dynamic = DynamicCache.from_legacy_cache(past)
    for cache in (past, dynamic):
        with pytest.raises(InputError, match="2 blocks and 1 rows, got 2 blocks and 2 rows"):
            ours(IDS[:1], past_key_values=cache)
    with pytest.raises(InputError, match="2 blocks and 2 rows, got 3 blocks"):
        ours(IDS, past_key_values=KeyValueCache(3))
