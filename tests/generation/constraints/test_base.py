"""What every constraint shares: remembered states, an end, and rows that broke it."""

from typing import ClassVar

import numpy
import pytest
import torch

from spacy_bloom.errors import InputError
from spacy_bloom.generation.constraints.base import Constraint, StateMemo
from spacy_bloom.generation.rows import Row

EOS = 0


class Pieces:
    """As PieceBytes: piece i is the i-th letter, piece 0 ends a text."""

    control: ClassVar = {EOS: b"</s>"}

    def __len__(self):
        return 5

    def __getitem__(self, piece):
        return b"" if piece == EOS else bytes([96 + piece])


class Rising(Constraint):
    """Letters that rise, at least one."""

    def __init__(self, **options):
        super().__init__(Pieces(), EOS, 0, **options)

    def _advance(self, state, piece):
        return piece if piece > state else None

    def _legal(self, state, n_generated):
        return numpy.arange(state + 1, 5)

    def _may_end(self, state):
        return state > 0


def allowed(constraint, *generated, scores=None):
    scores = torch.zeros(len(generated), 7) if scores is None else scores
    found = constraint([Row([1], list(pieces)) for pieces in generated], scores)
    return [row.isfinite().nonzero()[:, 0].tolist() for row in found]


def test_legal_pieces_and_the_end_of_a_complete_text_are_left():
    assert allowed(Rising(), [], [2], [1, 4]) == [[1, 2, 3, 4], [EOS, 3, 4], [EOS]]


def test_a_row_that_broke_it_or_ended_can_only_end():
    assert allowed(Rising(), [3, 2], [2, EOS], [2, EOS, 3]) == [[EOS]] * 3


def test_it_overrules_processors_before_it():
    scores = torch.zeros(2, 7)
    scores[0, 1:] = -torch.inf
    scores[1, 3] = -torch.inf
    found = Rising()([Row([1]), Row([1], [2])], scores.clone())
    assert found[0].softmax(-1).tolist() == pytest.approx([0, 0.25, 0.25, 0.25, 0.25, 0, 0])
    assert found[1].isfinite().nonzero()[:, 0].tolist() == [EOS, 4]


def test_the_text_is_there_if_it_is_complete():
    assert Rising().text_of([1, 3, EOS, 2]) == Rising().text_of([1, 3]) == "ac"
    assert Rising().text_of([]) is None and Rising().text_of([3, 1]) is None
    assert Rising(leading_space=True).text_of([1, 3]) == "c"  # the first byte stands for the space here


def test_wrong_ends_and_vocabularies_are_refused():
    with pytest.raises(InputError, match="control token, one of \\[0\\], got 3"):
        Constraint.__init__(Rising(), Pieces(), 3, 0)
    with pytest.raises(InputError, match="scores for 4 pieces, but the vocabulary has 5"):
        Rising()([Row([1])], torch.zeros(1, 4))


def test_states_are_advanced_by_one_piece_and_forgotten_in_turn():
    calls = []
    memo = StateMemo(0, lambda state, piece: calls.append(piece) or state + piece, size=2)
    assert [memo([]), memo([1]), memo([1, 2]), memo([1, 2, 3])] == [0, 1, 3, 6]
    assert calls == [1, 2, 3]
    assert memo([1]) == 1 and calls == [1, 2, 3, 1]  # only the last two were kept
