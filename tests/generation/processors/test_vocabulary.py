import pytest
import torch

from spacy_bloom.errors import InputError
from spacy_bloom.generation.processors.vocabulary import AllowedVocabulary, SomePieceLeft

V = 40
INF = float("inf")


def is_changed(got, scores):
    return not torch.equal(got, scores)


def test_dead_ids_are_forbidden(draw_scores, draw_rows):
    got = AllowedVocabulary(30)(draw_rows(), draw_scores())
    assert torch.equal(got[:, :30], draw_scores()[:, :30]) and got[:, 30:].isneginf().all()
    assert torch.equal(AllowedVocabulary(V)(draw_rows(), draw_scores()), draw_scores())


def test_scores_that_are_no_numbers_are_refused(draw_scores, draw_rows):
    scores = draw_scores(2)
    scores[1, 4] = float("nan")
    with pytest.raises(InputError, match="NaN in row 1 "):
        SomePieceLeft()(draw_rows(2), scores)
    assert torch.equal(SomePieceLeft()(draw_rows(), draw_scores()), draw_scores())
