import pytest
import torch
from transformers.generation import logits_process as theirs

from spacy_bloom.generation.processors import warpers
from spacy_bloom.generation.processors.warpers import MinP, Temperature, TopK, TopP, Typical

V = 40
INF = float("inf")


def is_changed(got, scores):
    return not torch.equal(got, scores)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("forbidden", [0.0, 0.7])
@pytest.mark.parametrize(
    "ours, reference",
    [
        (Temperature(0.3), theirs.TemperatureLogitsWarper(0.3)),
        (Temperature(3), theirs.TemperatureLogitsWarper(3.0)),
        *[
            (TopK(k, keep=n), theirs.TopKLogitsWarper(k, min_tokens_to_keep=n))
            for k in (1, 5, 99)
            for n in (1, 3)
        ],
        *[
            (TopP(p, keep=n), theirs.TopPLogitsWarper(p, min_tokens_to_keep=n))
            for p in (0, 0.3, 0.9)
            for n in (1, 3)
        ],
        *[
            (MinP(p, keep=n), theirs.MinPLogitsWarper(p, min_tokens_to_keep=n))
            for p in (0, 0.2, 1)
            for n in (1, 3)
        ],
        *[
            (Typical(p, keep=n), theirs.TypicalLogitsWarper(p, min_tokens_to_keep=n))
            for p in (0.1, 0.5, 0.95)
            for n in (1, 3)
        ],
    ],
)
def test_warpers(draw_scores, draw_rows, both, ours, reference, seed, forbidden):
    scores = draw_scores(seed=seed, forbidden=forbidden)
    got = both(ours, reference, draw_rows(), scores)
    assert (got > -INF).any(-1).all()
    assert (got.isneginf() | ~scores.isneginf()).all()  # what was forbidden stays so


@pytest.mark.parametrize(
    "ours, reference",
    [
        (TopK(2), theirs.TopKLogitsWarper(2)),
        *[(TopP(p), theirs.TopPLogitsWarper(p)) for p in (0.3, 0.4, 0.5, 0.8, 0.9)],
        (MinP(0.6), theirs.MinPLogitsWarper(0.6)),
        *[(Typical(p), theirs.TypicalLogitsWarper(p)) for p in (0.2, 0.4, 0.5, 0.6)],
    ],
)
def test_ties_are_decided_as_in_hugging_face(draw_rows, both, ours, reference):
    ties = torch.tensor(
        [[0.3, 0.1, 0.1, 0.5, 0.0], [0.15, 0.3, 0.3, 0.25, 0.0], [0.2, 0.2, 0.2, 0.2, 0.2]]
    ).log()
    both(ours, reference, draw_rows(vocabulary=5), ties)


@pytest.mark.parametrize("head", [4, 16, 1000])
@pytest.mark.parametrize("seed", range(4))
def test_the_head_of_a_large_vocabulary_is_enough(draw_scores, draw_rows, input_ids, monkeypatch, head, seed):
    """With 16, the distributions of small scale need the whole vocabulary, those of large scale the head only."""
    rows = draw_rows(2)
    pairs = [
        *[
            (TopP(p, keep=n), theirs.TopPLogitsWarper(p, min_tokens_to_keep=n))
            for p in (0.3, 0.95)
            for n in (1, 5)
        ],
        *[
            (Typical(p, keep=n), theirs.TypicalLogitsWarper(p, min_tokens_to_keep=n))
            for p in (0.3, 0.95)
            for n in (1, 5)
        ],
    ]
    for scale in (0.1, 3.0, 9.0):
        for forbidden in (0.0, 0.98):
            scores = draw_scores(2, 500, seed=seed, scale=scale, forbidden=forbidden)
            for ours, reference in pairs:
                expected = reference(input_ids(rows), scores.clone())
                monkeypatch.setattr(warpers, "HEAD", head)
                torch.testing.assert_close(ours(rows, scores.clone()), expected, rtol=0, atol=0)


def test_the_head_spares_the_sort(draw_scores, draw_rows, monkeypatch):
    """Of a peaked distribution nothing is sorted; of a flat one everything is."""
    monkeypatch.setattr(warpers, "HEAD", 16)
    sorts = []
    sort = torch.Tensor.sort
    monkeypatch.setattr(
        torch.Tensor, "sort", lambda self, *args: sorts.append(self.shape) or sort(self, *args)
    )
    for processor in (TopP(0.9), Typical(0.9)):
        processor(draw_rows(2), draw_scores(2, 500, scale=9.0))
        assert sorts == []
        processor(draw_rows(2), torch.zeros(2, 500))
        assert sorts.pop() == (2, 500)
