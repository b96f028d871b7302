"""What the tests of processors draw, and how they compare with Hugging Face."""

import pytest
import torch

from spacy_bloom.generation.rows import Row

V = 40
INF = float("inf")


def _draw_scores(rows=3, vocabulary=V, *, seed=0, forbidden=0.0, scale=3.0):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(rows, vocabulary, generator=generator) * scale
    out = torch.rand(rows, vocabulary, generator=generator) < forbidden
    out[:, seed % vocabulary] = False  # one piece is left
    return scores.masked_fill(out, -INF)


def _draw_rows(rows=3, prompt=7, added=4, *, seed=0, vocabulary=V):
    """Rows of equal length, as Hugging Face needs them. Few different pieces, so that they repeat."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(vocabulary, (rows, prompt + added), generator=generator).tolist()
    return [Row(tuple(row[:prompt]), row[prompt:]) for row in ids]


def _input_ids(rows):
    return torch.tensor([row.pieces for row in rows])


def _both(ours, reference, rows, scores):
    expected = reference(_input_ids(rows), scores.clone())
    got = ours(rows, scores.clone())
    assert got.shape == scores.shape and got.dtype == torch.float32
    torch.testing.assert_close(got, expected, rtol=0, atol=0)
    return got


@pytest.fixture(scope="session")
def draw_scores():
    return _draw_scores


@pytest.fixture(scope="session")
def draw_rows():
    return _draw_rows


@pytest.fixture(scope="session")
def input_ids():
    return _input_ids


@pytest.fixture(scope="session")
def both():
    return _both
