"""Loss, gradients, marginals and best paths beside those of every path, one by one."""

from itertools import pairwise, product

import numpy
import pytest

from spacy_bloom.thinc_layers import crf

LENGTHS = (4, 1, 3)
N_TAGS = 3
GOLD = numpy.array([[0, -1, 2, 1], [1, -1, -1, -1], [2, 2, -1, -1]])


@pytest.fixture
def chain():
    """Logits, mask, scores and ends; tag 2 may not follow tag 1."""
    random = numpy.random.default_rng(0)
    logits, mask = crf.pad([random.normal(size=(n, N_TAGS)).astype("float32") for n in LENGTHS])
    scores = random.normal(size=(N_TAGS + 1, N_TAGS)).astype("float32")
    scores[1, 2] = crf.FORBIDDEN
    return logits, mask, scores, random.normal(size=N_TAGS).astype("float32")


def all_paths(chain, text):
    """RETURNS (tuple): Every path of a text, and its probability."""
    logits, _, scores, ends = chain
    paths = list(product(range(N_TAGS), repeat=LENGTHS[text]))
    totals = [
        scores[-1, path[0]]
        + sum(logits[text, i, tag] for i, tag in enumerate(path))
        + sum(scores[pair] for pair in pairwise(path))
        + ends[path[-1]]
        for path in paths
    ]
    weights = numpy.exp(numpy.array(totals, dtype="float64"))
    return paths, weights / weights.sum()


def test_the_loss_is_that_of_all_paths_with_the_gold_tags(chain):
    expected = 0.0
    for text, gold in enumerate(GOLD):
        paths, probabilities = all_paths(chain, text)
        right = [all(g in (-1, tag) for g, tag in zip(gold, path, strict=False)) for path in paths]
        expected -= numpy.log(probabilities[right].sum())
    logits, mask, scores, ends = chain
    loss = crf.loss_and_gradients(logits, mask, GOLD, scores, ends)[0]
    assert loss == pytest.approx(expected, rel=1e-6)


def test_marginals(chain):
    odds = crf.marginals(*chain)
    for text, length in enumerate(LENGTHS):
        expected = numpy.zeros((length, N_TAGS))
        for path, probability in zip(*all_paths(chain, text), strict=True):
            expected[numpy.arange(length), path] += probability
        numpy.testing.assert_allclose(odds[text, :length], expected, atol=1e-6)
        assert not odds[text, length:].any()


def test_best_paths(chain):
    tags = crf.best_paths(*chain)
    for text, length in enumerate(LENGTHS):
        paths, probabilities = all_paths(chain, text)
        assert tuple(tags[text, :length]) == paths[probabilities.argmax()]
        assert not tags[text, length:].any()


@pytest.mark.parametrize("what", [0, 2])  # logits, scores
def test_gradients(chain, what):
    gradient = crf.loss_and_gradients(chain[0], chain[1], GOLD, *chain[2:])[1 + what // 2]
    exact = [x.astype("float64") if x.dtype != bool else x for x in chain]
    for place in numpy.ndindex(gradient.shape):
        losses = []
        for change in (1e-4, -1e-4):
            moved = [x.copy() for x in exact]
            moved[what][place] += change
            losses.append(crf.loss_and_gradients(moved[0], moved[1], GOLD, *moved[2:])[0])
        assert gradient[place] == pytest.approx((losses[0] - losses[1]) / 2e-4, abs=1e-5)


def test_a_long_text_stays_finite():
    logits, mask = crf.pad([numpy.full((3000, 2), 50.0, dtype="float32")])
    scores = numpy.array([[0, crf.FORBIDDEN], [0, 0], [0, crf.FORBIDDEN]], dtype="float32")
    loss, d_logits, d_scores = crf.loss_and_gradients(
        logits, mask, numpy.zeros(mask.shape, dtype=int), scores, numpy.zeros(2, dtype="float32")
    )
    assert loss == pytest.approx(0.0, abs=0.1)
    assert numpy.isfinite(d_logits).all()
    assert numpy.isfinite(d_scores).all()
