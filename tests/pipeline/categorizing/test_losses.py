import numpy
import pytest
import torch
from thinc.api import NumpyOps

from spacy_bloom.pipeline.categorizing.losses import binary_loss, exclusive_loss

OPS = NumpyOps()
LOGITS = numpy.random.default_rng(0).normal(scale=3, size=(4, 3)).astype("f")
ONE = numpy.eye(4, 3, dtype="f") + numpy.array([[0, 0, 0]] * 3 + [[1, 0, 0]], dtype="f")
ALL = numpy.ones((4, 3), dtype="f")


def test_exclusive_labels():
    loss, gradient = exclusive_loss(OPS, LOGITS, ONE, ALL)
    rows = torch.tensor(LOGITS, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(rows, torch.tensor([0, 1, 2, 0]), reduction="sum")
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    numpy.testing.assert_allclose(gradient, rows.grad, atol=1e-5)


def test_labels_that_are_not_exclusive():
    known = numpy.array([[1, 1, 1], [0, 1, 0], [1, 0, 1], [0, 0, 0]], dtype="f")
    loss, gradient = binary_loss(OPS, LOGITS, ONE, known)
    rows = torch.tensor(LOGITS, requires_grad=True)
    arguments = torch.from_numpy(ONE), torch.from_numpy(known)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(rows, *arguments, reduction="sum")
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    numpy.testing.assert_allclose(gradient, rows.grad, atol=1e-5)


@pytest.mark.parametrize("known", [numpy.zeros((4, 3), dtype="f"), ALL])
def test_annotation_that_is_missing_or_contradicts_itself(known):
    """Nothing known, or all labels known to be false."""
    loss, gradient = exclusive_loss(OPS, LOGITS, numpy.zeros((4, 3), dtype="f"), known)
    assert loss == 0.0 and not gradient.any()


@pytest.mark.parametrize("loss_of", [exclusive_loss, binary_loss])
def test_extreme_logits_are_finite(loss_of):
    loss, gradient = loss_of(OPS, LOGITS * 1e4, ONE, ALL)
    assert numpy.isfinite(loss) and numpy.isfinite(gradient).all() and loss > 100
