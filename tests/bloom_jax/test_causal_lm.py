"""Generation against PyTorch's: the same pieces."""

import numpy as np
import pytest
import torch

jax = pytest.importorskip("jax", reason="jax is not installed: pip install spacy-bloom[jax].")

from spacy_bloom.bloom_jax import FlaxBloomForCausalLM
from spacy_bloom.bloom_jax.beams import beam_search
from spacy_bloom.bloom_jax.decoding import decode
from spacy_bloom.errors import InputError
from spacy_bloom.generation.config import GenerationConfig

ENDS = (2, 25, 31, 40)


def assert_same(pair, ids, mask, **options):
    model, twin = pair
    expected = model.generate(torch.tensor(ids), torch.tensor(mask), **options).numpy()
    found = np.asarray(twin.generate(ids, mask, **options).sequences)
    length = expected.shape[1]  # here all rows are as long as they may be, there as the longest is
    assert np.array_equal(found[:, :length], expected)
    fill = options.get("pad_token_id", options.get("eos_token_id", [2])[0])
    assert (found[:, length:] == fill).all()
    return found


def test_greedy_equals_torch(tiny, batch):
    ids, mask = batch()
    rows = assert_same(tiny, ids, mask, max_new_tokens=9, eos_token_id=ENDS)
    assert (rows[:, -1] == 2).any() and not (rows[:, -1] == 2).all()  # some rows end early
    assert_same(tiny, ids, mask, max_new_tokens=14, eos_token_id=ENDS, min_new_tokens=6)
    assert_same(tiny, ids, mask, max_length=15, eos_token_id=ENDS)
    assert_same(tiny, ids, mask, max_length=19, min_length=16, eos_token_id=ENDS)


@pytest.mark.parametrize("early_stopping", [False, True, "never"])
def test_beams_equal_torch(early_stopping, tiny, batch):
    ids, mask = batch()
    for length_penalty in (1.0, -1.0, 2.0):
        assert_same(
            tiny,
            ids,
            mask,
            max_new_tokens=9,
            num_beams=3,
            num_return_sequences=2,
            eos_token_id=ENDS,
            early_stopping=early_stopping,
            length_penalty=length_penalty,
        )


def test_scores_of_beams_are_log_probabilities(tiny, batch):
    model, twin = tiny
    ids, mask = batch()
    options = dict(max_new_tokens=5, num_beams=3, num_return_sequences=3, eos_token_id=ENDS)
    found = twin.generate(ids, mask, **options)
    prompts = [row[keep != 0].tolist() for row, keep in zip(ids, mask, strict=True)]
    steps = {(s.prompt, s.sequence): s.score for s in model.generate_stream(prompts, **options)}
    expected = [steps[p, s] for p in range(3) for s in range(3)]
    assert np.abs(np.asarray(found.scores) - expected).max() < 1e-4


def test_new_lengths_and_numbers_are_not_compiled_anew(tiny):
    _, twin = tiny
    ids = np.arange(3, 43).reshape(2, 20)
    options = dict(do_sample=True, top_p=0.9, seed=1)
    twin.generate(ids, max_new_tokens=14, temperature=0.8, **options)
    twin.generate(ids, max_new_tokens=14, num_beams=2)
    programs = decode._cache_size(), beam_search._cache_size()
    for length in (17, 18, 23):
        prompts = np.resize(ids, (2, length))
        twin.generate(prompts, max_new_tokens=length - 10, temperature=1.0 + length, **options)
        twin.generate(prompts, max_new_tokens=length - 10, num_beams=2, length_penalty=length / 10)
    assert (decode._cache_size(), beam_search._cache_size()) == programs


def test_drawn_rows_depend_on_seed_and_prompt_alone(tiny):
    _, twin = tiny
    ids = np.arange(3, 27).reshape(2, 12)
    options = dict(do_sample=True, max_new_tokens=8, eos_token_id=None, num_return_sequences=2)

    def draw(ids, **more):
        return np.asarray(twin.generate(ids, **options, **more).sequences)[:, 12:]

    both = draw(ids, seed=5)
    assert np.array_equal(draw(ids[::-1], seed=5), both[[2, 3, 0, 1]])
    assert np.array_equal(draw(ids, seed=(5, 5)), both)
    assert not np.array_equal(both[0], both[1])  # sequences of one prompt
    assert not np.array_equal(draw(ids, seed=2**63), both)
    key = jax.random.key(7)
    assert np.array_equal(draw(ids, prng_key=key), draw(ids, prng_key=jax.random.PRNGKey(7)))
    with pytest.raises(InputError, match="2 prompts"):
        draw(ids, seed=(1, 2, 3))


def test_beams_that_draw(tiny, batch):
    _, twin = tiny
    ids, mask = batch()
    options = dict(do_sample=True, num_beams=3, num_return_sequences=3, max_new_tokens=6, top_k=8)
    one, other, new = (twin.generate(ids, mask, seed=seed, **options) for seed in (1, 1, 2))
    assert np.array_equal(one.sequences, other.sequences)
    assert not np.array_equal(one.sequences, new.sequences)
    scores = np.asarray(one.scores).reshape(3, 3)
    assert (np.diff(scores, axis=1) <= 0).all()  # the best first


def test_works_under_jit_and_vmap(tiny, batch):
    _, twin = tiny
    ids, mask = batch()
    expected = np.asarray(twin.generate(ids, mask, max_new_tokens=5).sequences)

    def call(params, ids, mask):
        return twin.generate(ids, mask, max_new_tokens=5, params=params).sequences

    found = jax.jit(jax.vmap(call, in_axes=(None, 0, 0)))(twin.params, ids[:, None], mask[:, None])
    assert np.array_equal(found[:, 0], expected)
    length = ids.shape[1] + 5  # with its padding, which is known here too
    found = jax.jit(lambda ids, mask: twin.generate(ids, mask, max_length=length).sequences)(ids, mask)
    assert np.array_equal(found, expected)


def test_options_of_the_checkpoint_are_followed_and_saved(tiny, tmp_path):
    model, _ = tiny
    model.save_pretrained(tmp_path / "a")
    config = GenerationConfig(max_new_tokens=3, pad_token_id=3)
    (tmp_path / "a" / "generation_config.json").write_text(config.to_json_string())
    twin = FlaxBloomForCausalLM.from_pretrained(tmp_path / "a")
    assert twin.generate([[3, 3, 4]]).sequences.shape == (1, 6)
    twin.save_pretrained(tmp_path / "b")
    assert FlaxBloomForCausalLM.from_pretrained(tmp_path / "b").generation_config == config
    twin.generation_config = None
    twin.save_pretrained(tmp_path / "b")
    assert FlaxBloomForCausalLM.from_pretrained(tmp_path / "b").generation_config is None


@pytest.mark.parametrize(
    "ids, options, message",
    [
        ([[4, 5]], dict(repetition_penalty=1.2, max_time=1.0), "max_time, repetition_penalty"),
        ([[4, 50]], {}, "0 to 49"),
        ([4, 5], {}, r"\(batch, length\)"),
        ([[3, 3]], dict(pad_token_id=3), "at least one piece"),
        ([[0.5]], {}, "integers"),
    ],
)
def test_wrong_arguments_are_named(ids, options, message, tiny):
    with pytest.raises(InputError, match=message):
        tiny[1].generate(ids, **options)
