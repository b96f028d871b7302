import pytest
import torch

from spacy_bloom.generation.processors.bias import ExponentialDecay, SequenceBias, Suppress, biased_pieces
from spacy_bloom.generation.rows import Row


@pytest.mark.parametrize("biases", [{(5,): 2.0, (4, 6): -1.0}, [[[5], 2.0], [[4, 6], -1.0]]])
def test_biases_of_sequences_whose_start_is_there(biases):
    found = SequenceBias(biases)([Row([1], [4]), Row([4], []), Row([4], [5])], torch.zeros(3, 8))
    assert found[:, 5].tolist() == [2.0] * 3 and found[:, 6].tolist() == [-1.0, -1.0, 0.0]
    assert found.sum() == 4.0
    assert [list(pieces) for pieces in biased_pieces(biases)] == [[5], [4, 6]]


def test_suppressed_pieces():
    rows = [Row([1], []), Row([1], [2])]
    always, first = Suppress([3, 99]), Suppress([3], first_only=True)
    assert always(rows, torch.zeros(2, 8))[:, 3].isneginf().tolist() == [True, True]
    assert first(rows, torch.zeros(2, 8))[:, 3].isneginf().tolist() == [True, False]
    assert always(rows, torch.zeros(2, 8)).isneginf().sum() == 2


def test_ends_become_likely():
    rows = [Row([1], [4] * n) for n in range(5)]
    found = ExponentialDecay(2, 2.0, [0])(rows, torch.full((5, 3), -1.0))
    assert found[:, 0].tolist() == [-1.0, -1.0, -1.0, 0.0, 2.0] and (found[:, 1:] == -1).all()
