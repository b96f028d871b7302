import torch

from spacy_bloom.generation.transition_scores import transition_scores

SCORES = [
    torch.tensor([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]),
    torch.tensor([[6.0, 7.0, 8.0], [9.0, 10.0, 11.0]]),
]


def test_rows_that_stay():
    found = transition_scores(torch.tensor([[0, 1, 2], [0, 0, 1]]), SCORES, None, False)
    assert found.tolist() == [[1.0, 8.0], [3.0, 10.0]]


def test_beams_move_and_end():
    origins = torch.tensor([[1, 0], [0, -1]])
    found = transition_scores(torch.tensor([[0, 1, 2], [0, 2, 0]]), SCORES, origins, False)
    assert found.tolist() == [[4.0, 8.0], [2.0, 0.0]]


def test_log_probabilities():
    found = transition_scores(torch.tensor([[0, 1, 2], [0, 0, 1]]), SCORES, None, True)
    expected = torch.tensor([0.0, 1.0, 2.0]).log_softmax(0)
    torch.testing.assert_close(found, expected[torch.tensor([[1, 2], [0, 1]])])
