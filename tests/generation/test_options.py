from typing import get_args

import pytest

from spacy_bloom.generation.options import MAX_SEED, Biases, Ids, Seeds, Stops, Temperature


def accepts(kind, value):
    return get_args(kind)[1].accepts(value)


@pytest.mark.parametrize("value", [None, 0, 5, [1], (2, 3)])
def test_ids(value):
    assert accepts(Ids, value)


@pytest.mark.parametrize("value", [-1, 1.0, True, [], [-1], "1", 2**31])
def test_no_ids(value):
    assert not accepts(Ids, value)


def test_seeds_reach_as_far_as_torchs():
    assert accepts(Seeds, MAX_SEED) and not accepts(Seeds, MAX_SEED + 1)


def test_stops_are_not_empty():
    assert accepts(Stops, "\n") and accepts(Stops, ["a", "b"]) and not accepts(Stops, "")


def test_a_temperature_of_zero_says_how_to_be_greedy():
    check = get_args(Temperature)[1]
    assert not check.accepts(0) and check.accepts(0.7) and "do_sample=False" in check.expected


@pytest.mark.parametrize("value", [{(5, 6): 1.0}, {(5,): -2}, [[[5, 6], 1.0]], ([(5,), 1.0],), None])
def test_biases_have_two_forms(value):
    assert accepts(Biases, value)
