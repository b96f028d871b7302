import copy

import numpy as np
import pytest
import torch

from spacy_bloom.errors import InputError
from spacy_bloom.generation.sampling import RowSampler, invert_cdf, row_samplers, sample, sample_distinct

INF = float("inf")
LARGEST_U = 1 - 2.0**-53
MASK = 2**64 - 1


def draw_scores(rows=5, vocabulary=30, *, seed=0):
    return torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(seed)) * 2


def philox(key, counter):
    """Philox 4x64-10, written down from the paper: four numbers of 64 bits."""
    words = [counter >> 64 * i & MASK for i in range(4)]
    keys = [key & MASK, key >> 64]
    for _ in range(10):
        left, right = 0xD2E7470EE14C6C93 * words[0], 0xCA5A826395121157 * words[2]
        words = [right >> 64 ^ words[1] ^ keys[0], right & MASK, left >> 64 ^ words[3] ^ keys[1], left & MASK]
        keys = [(keys[0] + 0x9E3779B97F4A7C15) & MASK, (keys[1] + 0xBB67AE8584CAA73B) & MASK]
    return words


@pytest.mark.parametrize(
    "seed, sequence, step", [(0, 0, 0), (1, 0, 0), (2**64 - 1, 4095, 2**31), (123456789, 3, 17)]
)
def test_random_numbers_never_change(seed, sequence, step):
    """Texts that users have drawn would change with them."""
    counted = (step << 64) + 1  # the first number is that after the counter's start
    bits = philox(sequence << 64 | seed, counted) + philox(sequence << 64 | seed, counted + 1)
    assert RowSampler(seed, sequence).uniforms(step, 8).tolist() == [(x >> 11) / 2**53 for x in bits]


def test_philox_is_philox():
    """The first lines of its authors' table of known answers."""
    zeros = [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]
    ones = [0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0]
    assert philox(0, 0) == zeros and philox(2**128 - 1, 2**256 - 1) == ones


def test_random_numbers_depend_on_seed_sequence_and_step_only():
    triples = [(seed, sequence, step) for seed in (0, 1, 2**63) for sequence in (0, 1) for step in range(20)]
    numbers = [RowSampler(seed, sequence).uniforms(step)[0] for seed, sequence, step in triples]
    assert len(set(numbers)) == len(triples) and all(0 <= u < 1 for u in numbers)
    again = [RowSampler(seed, sequence).uniforms(step, 3)[0] for seed, sequence, step in reversed(triples)]
    assert again == numbers[::-1]
    sampler = RowSampler(5)
    assert copy.deepcopy(sampler).uniforms(7) == sampler.uniforms(7) == RowSampler(5, 0).uniforms(7)


def test_more_numbers_of_a_step_are_not_those_of_the_next():
    numbers = np.concatenate([RowSampler(3).uniforms(step, 50) for step in range(20)])
    assert len(set(numbers)) == 1000


def chi_square(counts, expected):
    return float(((counts - expected) ** 2 / expected).sum())


# Exceeded once in a million times if the numbers are right (degrees of freedom: critical value).
CRITICAL = {4: 33.38, 19: 64.89, 24: 73.22}


def test_random_numbers_are_uniform_and_independent():
    u = np.array(
        [RowSampler(seed, n).uniforms(step)[0] for seed in range(10) for n in range(10) for step in range(50)]
    )
    counts = np.histogram(u, bins=20, range=(0, 1))[0]
    assert chi_square(counts, np.full(20, len(u) / 20)) < CRITICAL[19]
    pairs = np.histogram2d(u[:-1], u[1:], bins=5, range=((0, 1), (0, 1)))[0]  # of neighbouring steps
    assert chi_square(pairs, np.full((5, 5), pairs.sum() / 25)) < CRITICAL[24]


def test_pieces_are_drawn_by_their_probability():
    probabilities = torch.tensor([0.4, 0.0, 0.05, 0.3, 0.15, 0.1])
    rows = 20_000
    samplers = [RowSampler(seed, 0) for seed in range(rows // 20) for _ in range(20)]
    steps = list(range(20)) * (rows // 20)
    drawn = sample(probabilities.log().expand(rows, 6), samplers, steps)
    counts = torch.bincount(drawn, minlength=6).double()
    assert drawn.shape == (rows,) and drawn.dtype == torch.int64 and counts[1] == 0
    some = probabilities > 0
    assert chi_square(counts[some].numpy(), (probabilities[some] * rows).double().numpy()) < CRITICAL[4]


def test_logits_and_log_probabilities_draw_the_same():
    scores, samplers = draw_scores(), row_samplers(1, 5)
    assert torch.equal(sample(scores, samplers, [3] * 5), sample(scores.log_softmax(-1), samplers, [3] * 5))


@pytest.mark.parametrize("order", [[0], [4], [4, 3, 2, 1, 0], [1, 1, 3], [2, 0]])
def test_neighbours_change_nothing(order):
    scores, steps = draw_scores(), [0, 3, 3, 9, 2]
    samplers = row_samplers([5, 6, 7, 8, 9], 5)
    whole = sample_distinct(scores, samplers, steps, 3)
    part = sample_distinct(scores[order], [samplers[i] for i in order], [steps[i] for i in order], 3)
    assert torch.equal(part, whole[order])
    assert torch.equal(sample(scores, samplers, steps), whole[:, 0])  # the first, however many are drawn


def test_samplers_of_a_batch():
    assert row_samplers(7, 2) == [RowSampler(7, 0), RowSampler(7, 0)]
    assert row_samplers([7, 8], 2, 2) == [
        RowSampler(7, 0),
        RowSampler(7, 1),
        RowSampler(8, 0),
        RowSampler(8, 1),
    ]
    with pytest.raises(InputError, match="one for each of 3 prompts, got 2 seeds"):
        row_samplers((7, 8), 3)


def test_without_a_seed_torchs_global_generator_decides():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        one, next_ = row_samplers(None, 3, 2), row_samplers(None, 3, 2)
        torch.manual_seed(3)
        assert row_samplers(None, 3, 2) == one != next_
    assert len({sampler.seed for sampler in one}) == 3 and one[0].seed == one[1].seed
    assert [sampler.sequence for sampler in one] == [0, 1] * 3


def test_a_seed_leaves_torchs_global_generator_alone():
    before = torch.random.get_rng_state()
    sample(draw_scores(), row_samplers(3, 5), [0] * 5)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_inversion():
    probabilities = torch.tensor([[0.0, 0.25, 0.0, 0.5, 0.25, 0.0]], dtype=torch.float64)
    expected = {0.0: 1, 0.2499: 1, 0.25: 3, 0.7499: 3, 0.75: 4, 0.9: 4, LARGEST_U: 4}
    for u, piece in expected.items():
        assert invert_cdf(probabilities, torch.tensor([u], dtype=torch.float64)).tolist() == [piece]
        assert invert_cdf(probabilities * 3e-9, torch.tensor([u], dtype=torch.float64)).tolist() == [piece]


@pytest.mark.parametrize("u", [0.0, 2.0**-53, 0.5, LARGEST_U])
@pytest.mark.parametrize("vocabulary", [3, 1000, 50_000])
def test_a_piece_of_probability_0_is_never_drawn(u, vocabulary):
    generator = torch.Generator().manual_seed(vocabulary)
    scores = torch.randn(4, vocabulary, generator=generator, dtype=torch.float64) * 6
    forbidden = torch.rand(4, vocabulary, generator=generator) < 0.6
    forbidden[:, [0, -1]] = True
    forbidden[:, 1] = False
    probabilities = scores.masked_fill(forbidden, -INF).softmax(-1)
    drawn = invert_cdf(probabilities, torch.full((4,), u, dtype=torch.float64))
    assert (probabilities.gather(1, drawn[:, None]) > 0).all()


def test_sums_that_fall_draw_no_piece_of_probability_0(monkeypatch):
    """Sums in parallel can do that; here they are made to."""
    probabilities = torch.tensor([[0.5, 0.0, 0.0, 0.5]], dtype=torch.float64)
    monkeypatch.setattr(
        torch.Tensor, "cumsum", lambda *_: torch.tensor([[0.5, 0.4, 0.6, 1.0]], dtype=torch.float64)
    )
    for u, piece in [(0.0, 0), (0.45, 0), (0.49, 0), (0.5, 3), (0.55, 3), (LARGEST_U, 3)]:
        assert invert_cdf(probabilities, torch.tensor([u], dtype=torch.float64)).tolist() == [piece]


def test_each_piece_is_drawn_once_until_none_is_left():
    scores = torch.tensor([[0.0, -INF, 1.0, 2.0], [-INF, 5.0, -INF, -INF], [0.0, 0.0, 0.0, 0.0]])
    drawn = sample_distinct(scores, row_samplers(2, 3), [0, 0, 0], 4)
    assert drawn.shape == (3, 4)
    assert sorted(drawn[0].tolist()) == [-1, 0, 2, 3] and drawn[0, 3] == -1
    assert drawn[1].tolist() == [1, -1, -1, -1]
    assert sorted(drawn[2].tolist()) == [0, 1, 2, 3]


def test_several_draws_are_those_without_replacement():
    """P(first a, then b) = p(a) p(b) / (1 - p(a))."""
    p, rows = np.array([0.5, 0.3, 0.2]), 20_000
    scores = torch.from_numpy(np.log(p)).float().expand(rows, 3)
    drawn = sample_distinct(scores, [RowSampler(seed) for seed in range(rows)], [0] * rows, 2)
    pairs = [(a, b) for a in range(3) for b in range(3) if a != b]
    counts = np.array([((drawn[:, 0] == a) & (drawn[:, 1] == b)).sum().item() for a, b in pairs])
    expected = np.array([p[a] * p[b] / (1 - p[a]) for a, b in pairs]) * rows
    assert counts.sum() == rows
    assert chi_square(counts, expected) < 35.89  # 5 degrees of freedom, once in a million times


@pytest.mark.parametrize("bad", [-INF, float("nan")])
def test_rows_without_a_piece_are_named(bad):
    scores = draw_scores(3)
    scores[1] = bad
    with pytest.raises(InputError, match=r"in rows \[1\]"):
        sample(scores, row_samplers(1, 3), [0] * 3)


def test_one_number_that_is_none_spoils_its_row():
    scores = draw_scores(3)
    scores[2, 17] = float("nan")
    with pytest.raises(InputError, match=r"in rows \[2\]"):
        sample(scores, row_samplers(1, 3), [0] * 3)


def test_scores_are_left_as_they_are():
    scores = draw_scores()
    sample_distinct(scores, row_samplers(1, 5), [0] * 5, 3)
    assert torch.equal(scores, draw_scores())
