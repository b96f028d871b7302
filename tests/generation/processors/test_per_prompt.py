import pytest
import torch

from spacy_bloom.generation.processors.per_prompt import PerPrompt
from spacy_bloom.generation.rows import Row


class Only:
    """Leaves one piece, and remembers the rows of each call."""

    def __init__(self, piece):
        self.piece, self.calls = piece, []

    def __call__(self, rows, scores):
        self.calls.append(rows)
        kept = scores[:, self.piece].clone()
        scores.fill_(-torch.inf)[:, self.piece] = kept
        return scores


@pytest.mark.parametrize("numbers", [[0, 1, 2], [2, 2, 0, 1], [1, 1], [0]])
def test_each_row_goes_to_its_prompts_processor(numbers):
    """Also where prompts are equal, and rows were dropped, reordered or copied."""
    processors = [Only(3), Only(5), Only(3)]
    rows = [Row([1, 2], [7], number) for number in numbers]
    scores = torch.randn(len(rows), 9)
    found = PerPrompt(processors)(rows, scores.clone())
    for own, before, number in zip(found, scores, numbers, strict=True):
        piece = processors[number].piece
        assert own.isfinite().nonzero()[:, 0].tolist() == [piece] and own[piece] == before[piece]


def test_rows_of_one_processor_go_together():
    shared, other = Only(1), Only(2)
    rows = [Row([0], number=number) for number in (0, 1, 2, 0)]
    PerPrompt([shared, other, shared])(rows, torch.zeros(4, 5))
    assert [len(call) for call in shared.calls] == [3] and [len(call) for call in other.calls] == [1]
