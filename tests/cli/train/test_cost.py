"""The estimate adds up; what is measured on a machine is positive."""

import pytest

from spacy_bloom.cli.train.cost import Rates, estimate, format_seconds, measure_rates

# bloom-560m
GEOMETRY = {"parameters": 559_214_592, "in_blocks": 302_309_376, "hidden_size": 1024, "n_layer": 24}


def test_bloom_560m():
    """1,016 pieces took 15.3 s on two cores that multiply with about 120 billion operations a second."""
    cost = estimate(Rates(120e9, 1e18), **GEOMETRY, words=1016 / 1.5, steps=100)
    assert cost.step == pytest.approx(6 * 1016 * 302_309_376 / 120e9) == pytest.approx(15.4, rel=0.01)
    assert cost.total == pytest.approx(100 * cost.step)
    kept = 24 * 16 * 1024 * 1016 * 4
    assert cost.memory == pytest.approx(4 * 4 * 559_214_592 + kept)
    parts = estimate(Rates(120e9, 1e18), **GEOMETRY, words=1016 / 1.5, steps=100, parts=4)
    assert parts.step == cost.step and cost.memory - parts.memory == pytest.approx(kept * 3 / 4)


def test_frozen_weights_cost_a_third_and_no_optimizer():
    rates = Rates(1e12, 1e10)
    whole, frozen = (
        estimate(rates, **GEOMETRY, words=1000, steps=1, frozen=frozen) for frozen in (False, True)
    )
    products = whole.step - 28 * 559_214_592 / 1e10
    assert frozen.step == pytest.approx(products / 3)
    assert frozen.memory < 0.3 * whole.memory


def test_a_machine_is_measured():
    rates = measure_rates(64, 1)
    assert rates.operations > 0 and rates.n_bytes > 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.123, "0.12 s"),
        (15.4, "15 s"),
        (100, "1.7 min"),
        (3600, "60 min"),
        (36000, "10 h"),
        (1e6, "11.6 days"),
    ],
)
def test_durations_for_reading(seconds, text):
    assert format_seconds(seconds) == text
