import numpy as np
import torch

from spacy_bloom.generation.processors.places import forbid, force, places


def test_places_of_some_pieces_of_each_row():
    rows, columns = places([[4, 1], [], np.array([2])], torch.device("cpu"))
    assert rows.tolist() == [0, 0, 2] and columns.tolist() == [4, 1, 2]
    assert [part.shape for part in places([[], []], torch.device("cpu"))] == [(0,), (0,)]


def test_forbidden_pieces():
    scores = torch.zeros(3, 5)
    assert forbid(scores, [[4, 1], [], [2]]) is scores
    assert scores.isneginf().nonzero().tolist() == [[0, 1], [0, 4], [2, 2]]


def test_forced_pieces():
    scores = force(torch.full((3, 5), 7.0), [True, False, True], [1, 3])
    assert scores[1].tolist() == [7.0] * 5
    for row in (0, 2):
        assert (
            scores[row].isfinite().nonzero()[:, 0].tolist() == [1, 3]
            and scores[row, 1] == scores[row, 3] == 0
        )
