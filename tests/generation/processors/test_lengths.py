import pytest
import torch
from transformers.generation import logits_process as theirs

from spacy_bloom.generation.config import GenerationConfig
from spacy_bloom.generation.processors.lengths import ForcedBos, ForcedEos, MinLength, MinNewTokens
from spacy_bloom.generation.rows import Row

V = 40
INF = float("inf")


def is_changed(got, scores):
    return not torch.equal(got, scores)


@pytest.mark.parametrize("length", [1, 10, 11, 12])
def test_minimum_lengths(draw_scores, draw_rows, both, length):
    rows, scores = draw_rows(prompt=7, added=4), draw_scores()
    got = both(MinLength(length, [2, 5]), theirs.MinLengthLogitsProcessor(length, [2, 5]), rows, scores)
    assert is_changed(got, scores) == (length == 12)
    new = length - 7
    if new >= 0:
        reference = theirs.MinNewTokensLengthLogitsProcessor(7, new, [2, 5])
        assert torch.equal(both(MinNewTokens(new, [2, 5]), reference, rows, scores), got)


@pytest.mark.parametrize("prompt, added", [(1, 0), (1, 1), (2, 1), (3, 2)])
def test_forced_first_piece_where_hugging_face_forces(draw_scores, draw_rows, both, prompt, added):
    rows, scores = draw_rows(prompt=prompt, added=added), draw_scores()
    got = both(ForcedBos(6), theirs.ForcedBOSTokenLogitsProcessor(6), rows, scores)
    assert is_changed(got, scores) == ((prompt, added) == (1, 0))


def test_forced_first_piece_after_longer_prompts(draw_scores):
    got = ForcedBos(6)([Row([1, 2, 3]), Row([1, 2], [3])], scores := draw_scores(2))
    assert got[0].isfinite().nonzero().tolist() == [[6]] and got[0, 6] == 0
    assert torch.equal(got[1], draw_scores(2)[1]) and got is scores


@pytest.mark.parametrize("added", [0, 3, 4])
@pytest.mark.parametrize("ids", [[6], [6, 2]])
def test_forced_last_piece(draw_scores, draw_rows, both, added, ids):
    rows, scores = draw_rows(prompt=3, added=added), draw_scores()
    reference = theirs.ForcedEOSTokenLogitsProcessor(8, ids)
    for config in (GenerationConfig(max_new_tokens=5), GenerationConfig(max_length=8)):
        got = both(ForcedEos(config.max_added, ids), reference, rows, scores)
        assert is_changed(got, scores) == (added == 4)


def test_forced_last_piece_counts_each_row_by_itself():
    rows = [Row([1, 2, 3], [4]), Row([1], [4])]
    got = ForcedEos(GenerationConfig(max_length=5).max_added, [6])(rows, torch.ones(2, 8))
    assert got.isfinite().sum(-1).tolist() == [1, 8]
