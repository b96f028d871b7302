from itertools import pairwise

import pytest
import torch
import transformers

from spacy_bloom import BloomConfig, BloomForCausalLM
from spacy_bloom.bloom.cache import MIN_ROOM, KeyValueCache
from spacy_bloom.errors import InputError

CONFIG = BloomConfig(vocab_size=97, hidden_size=24, n_layer=2, n_head=3)


def draw_steps(lengths, *, batch=2, n_layer=2, seed=0):
    """For each step and block: keys and values of so many new pieces."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(batch, 3, new, 4) for new in lengths]  # (batch, n_head, new, head_dim)
    return [
        [tuple(torch.randn(shape, generator=generator) for _ in range(2)) for _ in range(n_layer)]
        for shape in shapes
    ]


def fill(cache, steps):
    for step in steps:
        for layer, (keys, values) in enumerate(step):
            returned = cache.update(keys, values, layer)
            for ours, held in zip(returned, cache[layer], strict=True):
                assert torch.equal(ours, held)
    return cache


def expected(steps, layer):
    return tuple(torch.cat([step[layer][kind] for step in steps], dim=2) for kind in range(2))


def assert_holds(cache, contents):
    for layer, pair in enumerate(contents):
        for ours, theirs in zip(cache[layer], pair, strict=True):
            assert torch.equal(ours, theirs)


@pytest.fixture(params=["gradients", "no gradients", "inference mode"])
def mode(request):
    modes = {
        "gradients": torch.enable_grad,
        "no gradients": torch.no_grad,
        "inference mode": torch.inference_mode,
    }
    with modes[request.param]():
        yield request.param


def test_an_empty_cache():
    cache = KeyValueCache(3)
    assert (len(cache), cache.length, cache.batch, cache.n_bytes) == (3, 0, 0, 0)
    with pytest.raises(IndexError, match="block 1"):
        cache[1]
    assert cache.fork(torch.tensor([0])).length == 0
    cache.select(torch.tensor([0]))
    cache.crop(0)


@pytest.mark.parametrize("capacity", [0, 3, 7, 8, 200])
@pytest.mark.parametrize("lengths", [(5, 1, 2), (1,) * 8, (8,), (3, MIN_ROOM + 5, 1)])
def test_it_grows_block_by_block(mode, capacity, lengths):
    steps = draw_steps(lengths)
    cache = fill(KeyValueCache(2, capacity=capacity), steps)
    assert cache.length == sum(lengths) and cache.batch == 2
    assert_holds(cache, [expected(steps, layer) for layer in range(2)])


def test_what_was_allocated_is_written_in_place(mode):
    steps = draw_steps((2, 1, 1, 1))
    cache = fill(KeyValueCache(2, capacity=5), steps[:2])
    places = [tensor.data_ptr() for layer in range(2) for tensor in cache[layer]]
    fill(cache, steps[2:])
    same = places == [tensor.data_ptr() for layer in range(2) for tensor in cache[layer]]
    assert same == (mode != "gradients")
    # Blocks, keys and values, rows, heads, pieces, head_dim, bytes.
    assert cache.n_bytes == 2 * 2 * 2 * 3 * 5 * 4 * 4


def test_few_steps_copy_what_is_old():
    with torch.no_grad():
        cache = fill(KeyValueCache(1), draw_steps((10,), n_layer=1))
        places = [cache[0][0].data_ptr()]
        for step in draw_steps((1,) * 500, n_layer=1):
            fill(cache, [step])
            places.append(cache[0][0].data_ptr())
    copies = sum(one != other for one, other in pairwise(places))  # a later place may be an earlier one again
    assert cache.length == 510 and copies <= 18


def test_memory_made_in_inference_mode_serves_outside_it():
    steps = draw_steps((2, 1))
    with torch.inference_mode():
        cache = fill(KeyValueCache(2, capacity=9), steps[:1])
    with torch.no_grad():
        fill(cache, steps[1:])
    assert_holds(cache, [expected(steps, layer) for layer in range(2)])


@pytest.mark.parametrize("rows", [[1, 0], [1], [0, 0, 1, 0], []])
def test_select_and_fork(mode, rows):
    steps, more = draw_steps((4, 1)), draw_steps((1, 2), batch=len(rows), seed=1)
    for capacity in (0, 30):
        cache = fill(KeyValueCache(2, capacity=capacity), steps)
        before = [expected(steps, layer) for layer in range(2)]
        selected = [tuple(x[rows] for x in pair) for pair in before]
        fork = cache.fork(torch.tensor(rows, dtype=torch.long))
        assert_holds(fork, selected)
        fill(fork, more)
        after = [
            tuple(torch.cat(pair, dim=2) for pair in zip(selected[layer], expected(more, layer), strict=True))
            for layer in range(2)
        ]
        assert_holds(fork, after)
        assert_holds(cache, before)
        exact = fill(cache.fork(torch.tensor(rows, dtype=torch.long), room=3), more)
        assert_holds(exact, after)
        if mode != "gradients":
            assert exact.n_bytes == 2 * 2 * len(rows) * 3 * 8 * 4 * 4  # no more than the 5 + 3 pieces
        cache.select(torch.tensor(rows, dtype=torch.long))
        assert_holds(fill(cache, more), after)
        assert cache.batch == len(rows)


def test_crop(mode):
    steps = draw_steps((4, 2))
    cache = fill(KeyValueCache(2), steps)
    cache.crop(3)
    assert cache.length == 3
    assert_holds(cache, [tuple(x[:, :, :3] for x in expected(steps, layer)) for layer in range(2)])
    fill(cache, steps[1:])
    kept = [tuple(x[:, :, [0, 1, 2, 4, 5]] for x in expected(steps, layer)) for layer in range(2)]
    assert_holds(cache, kept)
    with pytest.raises(ValueError, match="from 0 to the cache's 5, got 6"):
        cache.crop(6)


def test_a_prompt_computed_once_serves_many_continuations(randomize, difference):
    model = randomize(BloomForCausalLM(CONFIG)).eval()
    generator = torch.Generator().manual_seed(0)
    prompt = torch.randint(97, (1, 9), generator=generator)
    rest = torch.randint(97, (4, 3), generator=generator)
    with torch.inference_mode():
        cache = model(prompt).past_key_values
        for _ in range(2):  # the prompt's cache is not changed by what continues it
            logits = model(rest, past_key_values=cache.fork(torch.zeros(4, dtype=torch.long))).logits
            whole = model(torch.cat((prompt.expand(4, -1), rest), dim=1)).logits[:, 9:]
            assert difference(logits, whole) < 1e-5


def test_nothing_but_keys_and_values_stays_in_memory(randomize):
    """As they come, they are part of the fused projection."""
    model = randomize(BloomForCausalLM(CONFIG)).eval()
    with torch.no_grad():
        cache = model(torch.arange(20)[None]).past_key_values
    held = sum(tensor.untyped_storage().nbytes() for layer in range(2) for tensor in cache[layer])
    assert held == cache.n_bytes == 2 * 2 * (20 + MIN_ROOM) * 24 * 4


def test_what_autograd_holds_is_not_written_over(randomize):
    model = randomize(BloomForCausalLM(CONFIG)).eval()
    ids = torch.arange(8)[None]
    output = model(ids)
    output.past_key_values.crop(5)
    with torch.no_grad():
        model(ids[:, :2], past_key_values=output.past_key_values)
    output.logits.sum().backward()
    assert torch.isfinite(model.transformer.word_embeddings.weight.grad).all()


def test_gradients_flow_through_the_cache(randomize, difference):
    model = randomize(BloomForCausalLM(CONFIG)).eval()
    ids = torch.randint(97, (2, 8), generator=torch.Generator().manual_seed(0))
    gradients = []
    for parts in ((8,), (5, 2, 1)):
        model.zero_grad()
        cache, logits = KeyValueCache(2, capacity=20), []
        for part in ids.split(parts, dim=1):
            logits.append(model(part, past_key_values=cache).logits)
        torch.cat(logits, dim=1).square().mean().backward()
        gradients.append(model.transformer.h[0].self_attention.dense.weight.grad.clone())
    assert difference(gradients[1], gradients[0]) < 1e-5


@pytest.fixture
def theirs():
    """One of Hugging Face's models, and ours with the same weights."""
    config = BloomConfig(vocab_size=50, hidden_size=24, n_layer=2, n_head=3)
    torch.manual_seed(0)
    model = transformers.BloomForCausalLM(transformers.BloomConfig(**config.to_diff_dict())).eval()
    ours = BloomForCausalLM(config).eval()
    ours.load_state_dict(model.state_dict())
    return model, ours


@pytest.mark.parametrize("kind", ["cache", "tuple", "list", "ours as pairs"])
@pytest.mark.parametrize("rows", [1, 3])
def test_keys_and_values_of_hugging_face_go_on_here(theirs, kind, rows):
    model, ours = theirs
    ids = torch.arange(rows * 7).view(rows, 7)
    with torch.no_grad():
        expected = model(ids).logits[:, 4:]
        past = model(ids[:, :4], use_cache=True).past_key_values
        pairs = past.to_legacy_cache() if hasattr(past, "to_legacy_cache") else past
        own = ours(ids[:, :4], use_cache=True).past_key_values
        made = {
            "cache": past,
            "tuple": pairs,
            "list": [list(p) for p in pairs],
            "ours as pairs": [own[0], own[1]],
        }
        before = [x.clone() for pair in pairs for x in pair]
        first = ours(ids[:, 4:6], past_key_values=made[kind], use_cache=True)
        last = ours(ids[:, 6:], past_key_values=first.past_key_values)
    logits = torch.cat((first.logits, last.logits), dim=1)
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    assert all(torch.equal(x, y) for x, y in zip(before, [x for pair in pairs for x in pair], strict=True))


def pair(batch=1, heads=3, length=4, size=8):
    return torch.zeros(batch, heads, length, size), torch.zeros(batch, heads, length, size)


NO_CACHES = {
    "a number": 5,
    "nothing": (),
    "too few blocks": (pair(),),
    "other heads": (pair(heads=4), pair(heads=4)),
    "another size": (pair(size=6), pair(size=6)),
    "lengths that differ": (pair(), pair(length=5)),
    "three dimensions": tuple((keys[0], values[0]) for keys, values in (pair(), pair())),
    "keys alone": (pair()[0], pair()[0]),
    "no tensors": ((1, 2), (3, 4)),
    "None in a block": ((None, None), (None, None)),
}


@pytest.mark.parametrize("kind", NO_CACHES)
def test_what_is_no_cache(theirs, kind):
    with pytest.raises(
        InputError, match=r"Expected past_key_values as a KeyValueCache or as 2 pairs .*, 3, length, 8"
    ):
        theirs[1](torch.tensor([[1]]), past_key_values=NO_CACHES[kind])
