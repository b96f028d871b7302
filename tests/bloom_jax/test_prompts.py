import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="jax is not installed: pip install spacy-bloom[jax].")

from spacy_bloom import BloomConfig
from spacy_bloom.bloom_jax.prompts import to_choice, to_prompts
from spacy_bloom.generation.config import GenerationConfig

CONFIG = BloomConfig(vocab_size=50)
IDS = [[7, 8, 3, 3], [3, 9, 3, 10], [4, 5, 6, 7]]


def test_padding_comes_to_the_left_and_lengths_are_filled_up():
    prompts, added = to_prompts(CONFIG, IDS, None, GenerationConfig(pad_token_id=3), None)
    assert prompts.ids.shape == prompts.mask.shape == (3, 16)
    kept = [row[mask == 1].tolist() for row, mask in zip(prompts.ids, prompts.mask, strict=True)]
    assert kept == [[7, 8], [9, 10], [4, 5, 6, 7]]
    assert (np.diff(prompts.mask, axis=1) >= 0).all()
    assert prompts.limits.tolist() == [20, 20, 20] and added == 20
    same, _ = to_prompts(CONFIG, IDS, (np.array(IDS) != 3).astype(int), GenerationConfig(), None)
    assert np.array_equal(prompts.mask, same.mask)


def test_limits_count_pieces_and_seeds_have_64_bits():
    options = GenerationConfig(pad_token_id=3, max_length=6, seed=2**40 + 5)
    prompts, added = to_prompts(CONFIG, IDS, None, options, None)
    assert prompts.limits.tolist() == [2, 2, 2] and added == 2, "padding counts"
    assert prompts.seeds.tolist() == [[2**8, 5]] * 3


def test_options_without_effect_are_no_part_of_a_program():
    choice = to_choice(CONFIG, GenerationConfig(eos_token_id=(4, 2), min_new_tokens=2, min_length=9))
    assert (choice.ends, choice.fill, choice.keep) == ((4, 2), 4, 1)
    assert choice.min_length is None and choice.top_p is None  # min_new_tokens takes precedence
    beams = to_choice(BloomConfig(), GenerationConfig(num_beams=2, top_p=0.5, pad_token_id=3))
    assert (beams.vocabulary, beams.fill, beams.keep, beams.top_p) == (250680, 3, 2, 0.5)
