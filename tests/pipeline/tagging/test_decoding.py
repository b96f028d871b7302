import numpy
import pytest
import torch
from thinc.api import NumpyOps

from spacy_bloom.pipeline.tagging.decoding import decode, no_tokens, tag_loss
from spacy_bloom.pipeline.tagging.gold_tags import MISSING
from spacy_bloom.pipeline.tagging.tag_scheme import tag_scheme

TAGS = ("O", "B-X", "I-X")
LOGITS = numpy.random.default_rng(0).normal(scale=3, size=(6, 3)).astype("f")
NO_BLANKS = numpy.zeros(6, dtype=bool)


def test_probabilities_are_the_softmax():
    tags, probabilities = decode(LOGITS * 1e3, None, NO_BLANKS)
    expected = torch.from_numpy(LOGITS * 1e3).softmax(dim=1)
    numpy.testing.assert_allclose(probabilities, expected, atol=1e-6)
    assert tags.tolist() == LOGITS.argmax(axis=1).tolist()


@pytest.mark.parametrize("blank", [[0], [2, 3], [0, 1, 2, 3, 4, 5]])
def test_blank_tokens_are_outside_at_edges(blank):
    is_blank = NO_BLANKS.copy()
    is_blank[blank] = True
    inside = numpy.tile(numpy.array([[0.0, 1.0, 5.0]], dtype="f"), (6, 1))
    spans = tag_scheme(TAGS).spans(decode(inside, tag_scheme(TAGS), is_blank)[0])
    assert spans == ([] if len(blank) == 6 else [(1, 6, "X")] if blank == [0] else [(0, 6, "X")])


def test_no_tokens():
    tags, probabilities = no_tokens(3)
    assert tags.shape == (0,) and probabilities.shape == (0, 3)
    same = decode(LOGITS[:0], tag_scheme(TAGS), NO_BLANKS[:0])
    assert same[0].shape == tags.shape and same[1].shape == probabilities.shape


@pytest.mark.parametrize("gold", [[0, 1, 2, 0, 1, 2], [0, MISSING, 2, MISSING, 1, 1], [MISSING] * 6])
def test_the_loss_is_the_cross_entropy_of_known_tokens(gold):
    loss, gradient = tag_loss(NumpyOps(), LOGITS, numpy.array(gold))
    rows = torch.tensor(LOGITS, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(
        rows, torch.tensor(gold), ignore_index=MISSING, reduction="sum"
    )
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    numpy.testing.assert_allclose(gradient, rows.grad, atol=1e-5)
