import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="jax is not installed: pip install spacy-bloom[jax].")

from spacy_bloom.bloom_jax.decoding import Prompts, decode
from spacy_bloom.bloom_jax.scores import Choice


def test_prompts_know_their_lengths_and_keys():
    seeds = np.array([[0, 7], [1, 2]], np.uint32)
    prompts = Prompts(np.zeros((2, 3), int), np.array([[0, 1, 1], [1, 1, 1]]), np.array([4, 4]), seeds)
    assert prompts.lengths.tolist() == [2, 3]
    assert prompts.keys[0] == jax.random.key(7)


def test_each_row_has_its_limit_and_then_filling(tiny):
    _, twin = tiny
    ids = np.arange(3, 19, dtype=np.int32)[None].repeat(3, axis=0)
    prompts = Prompts(ids, np.ones_like(ids), np.array([1, 5, 3]), np.zeros((3, 2), np.uint32))
    choice = Choice(
        vocabulary=50,
        ends=(),
        fill=49,
        keep=1,
        do_sample=False,
        top_k=0,
        temperature=1.0,
        top_p=None,
        min_new_tokens=None,
        min_length=None,
    )
    pieces = np.asarray(decode(twin.config, twin.params, prompts, choice=choice, room=6, copies=1))
    assert (pieces != 49).sum(axis=1).tolist() == [1, 5, 3]
    assert (pieces[0, :1] == pieces[1, :1]).all() and (pieces[2, :3] == pieces[1, :3]).all()
