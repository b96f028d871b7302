import pytest
import torch

from spacy_bloom.errors import InputError
from spacy_bloom.generation.config import GenerationConfig
from spacy_bloom.generation.padded.hypotheses import Hypotheses, best_of, choose


def config(**options):
    return GenerationConfig(num_beams=2, eos_token_id=0, **options)


def test_the_best_are_kept():
    hypotheses = Hypotheses(config(length_penalty=2.0), 2, 9)
    for score in (-4.0, -2.0, -8.0, -1.0):
        hypotheses.add(torch.tensor([1]), score, 2, [0])
    assert [score for score, _, _ in hypotheses.kept] == [-0.5, -0.25]


@pytest.mark.parametrize(
    "early, best, done",
    [(True, 9.0, True), (False, -1.1, True), (False, -0.9, False), ("never", -3.0, False)],
)
def test_when_a_search_is_done(early, best, done):
    hypotheses = Hypotheses(config(early_stopping=early), 1, 8)
    hypotheses.look(best, 2)
    assert not hypotheses.done
    hypotheses.add(torch.tensor([1]), -1.0, 2, [0])
    hypotheses.look(best, 2)
    assert hypotheses.done == done


def test_what_goes_on():
    total = torch.tensor([[9.0, 1.0, 8.0], [0.0, 7.0, 2.0]])
    hypotheses = Hypotheses(config(), 2, 9)
    chosen = choose(hypotheses, total, torch.tensor([[5], [6], [7], [8]]), [2, 3], 1, [[0]] * 4)
    assert (chosen.pieces, chosen.scores, chosen.rows) == ([2, 1], [8.0, 7.0], [2, 3])
    ((score, ids, origins),) = hypotheses.kept
    assert (score, ids.tolist(), origins) == (9.0, [7], [0, 2])
    refused = Hypotheses(config(), 2, 9)
    choose(refused, total, torch.tensor([[5], [6]]), [0, 1], 1, [[]] * 2, lambda ids: False)
    assert not refused.kept
    with pytest.raises(InputError, match="Expected 2 pieces that do not end a text, got 0"):
        choose(refused, torch.zeros(2, 1), torch.tensor([[5], [6]]), [0, 1], 1, [[]] * 2)


def test_sequences_with_their_ends():
    hypotheses = Hypotheses(config(num_return_sequences=2), 2, 9)
    hypotheses.add(torch.tensor([5, 6, 7]), -3.0, 2, [1, 0])
    hypotheses.add(torch.tensor([5, 8]), -1.0, 2, [1, 1])
    ids, scores, origins = best_of([hypotheses], torch.tensor([[5]]), 3, 4)
    assert ids.tolist() == [[5, 8, 0, 3], [5, 6, 7, 0]] and scores.tolist() == [-0.5, -1.5]
    assert origins.tolist() == [[1, 1, -1, -1], [1, 0, -1, -1]]
