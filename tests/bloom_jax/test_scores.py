import numpy as np
import pytest
import torch

jax = pytest.importorskip("jax", reason="jax is not installed: pip install spacy-bloom[jax].")

from spacy_bloom.bloom_jax.scores import Choice, gumbel, keep_top_k, keep_top_p
from spacy_bloom.generation.processors.warpers import TopK, TopP

SCORES = np.random.default_rng(0).normal(size=(5, 40)).astype(np.float32) * 3
SCORES[0, :7] = SCORES[0].max() + 1  # as good as each other
SCORES[1, 3:] = -np.inf


@pytest.mark.parametrize("top_k", [1, 4, 40, 100])
def test_top_k_equals_torch(top_k):
    expected = TopK(top_k)([], torch.tensor(SCORES.copy())).numpy()
    assert np.array_equal(keep_top_k(SCORES, top_k), expected)


@pytest.mark.parametrize("top_p", [0.0, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("keep", [1, 3])
def test_top_p_equals_torch(top_p, keep):
    expected = TopP(top_p, keep=keep)([], torch.tensor(SCORES[1:].copy())).numpy()
    assert np.array_equal(keep_top_p(SCORES[1:], top_p, keep), expected)


def test_best_sums_with_noise_are_draws():
    logits = np.log([0.5, 0.3, 0.15, 0.05]).astype(np.float32)
    keys = jax.random.split(jax.random.key(0), 4000)
    drawn = np.asarray((logits + gumbel(keys, 0, 4)).argmax(axis=1))
    share = np.bincount(drawn, minlength=4) / 4000
    assert np.abs(share - np.exp(logits)).max() < 0.03  # more than three standard deviations
    assert not np.array_equal(drawn, np.asarray((logits + gumbel(keys, 1, 4)).argmax(axis=1)))


def test_ends_are_forbidden_row_by_row_and_dead_ids_always():
    choice = Choice(
        vocabulary=6,
        ends=(1, 2),
        fill=0,
        keep=1,
        do_sample=False,
        top_k=0,
        temperature=1.0,
        top_p=None,
        min_new_tokens=None,
        min_length=5,
    )
    lengths = np.array([2, 3])
    scores = np.asarray(choice.adjust(np.zeros((2, 8), np.float32), np.int32(2), lengths))
    assert np.isinf(scores).tolist() == [
        [False, True, True, False, False, False, True, True],
        [False, False, False, False, False, False, True, True],
    ]
    scores = choice.replace(min_length=None, min_new_tokens=3).adjust(np.zeros((2, 8)), np.int32(2), lengths)
    assert np.isinf(scores[:, 1:3]).all()
