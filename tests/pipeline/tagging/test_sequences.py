import numpy
import pytest

from spacy_bloom.pipeline.tagging import sequences
from spacy_bloom.pipeline.tagging.gold_tags import MISSING
from spacy_bloom.pipeline.tagging.sequences import decode_sequences, sequence_loss
from spacy_bloom.pipeline.tagging.tag_scheme import tag_scheme
from spacy_bloom.thinc_layers.transitions import transitions

TAGS = ("O", "B-PER", "I-PER")
LENGTHS = (4, 0, 2, 7, 1)


@pytest.fixture
def layer():
    model = transitions()
    model.initialize(X=[numpy.zeros((1, len(TAGS)), dtype="float32")])
    model.set_param("W", numpy.random.default_rng(1).normal(size=(4, 3)).astype("float32"))
    return model


@pytest.fixture
def logits():
    random = numpy.random.default_rng(0)
    return [random.normal(size=(n, len(TAGS))).astype("float32") for n in LENGTHS]


def no_blanks(logits):
    return [numpy.zeros(len(x), dtype=bool) for x in logits]


def gold(logits):
    random = numpy.random.default_rng(2)
    return [random.integers(0, 2, size=len(x)) for x in logits]


def test_groups_change_nothing(layer, logits, monkeypatch):
    scheme = tag_scheme(TAGS)
    together = sequence_loss(layer, scheme, logits, gold(logits)), layer.get_grad("W").copy()
    best = decode_sequences(layer, scheme, logits, no_blanks(logits))
    layer.set_grad("W", layer.get_grad("W") * 0)
    monkeypatch.setattr(sequences, "MAX_PADDED", 1)  # a text a group
    alone = sequence_loss(layer, scheme, logits, gold(logits)), layer.get_grad("W").copy()
    assert alone[0][0] == pytest.approx(together[0][0], rel=1e-5)
    assert numpy.allclose(alone[1], together[1], atol=1e-5)
    for one, other in zip(alone[0][1], together[0][1], strict=True):
        assert numpy.allclose(one, other, atol=1e-5)
    for one, other in zip(best, decode_sequences(layer, scheme, logits, no_blanks(logits)), strict=True):
        assert one[0].tolist() == other[0].tolist() and numpy.allclose(one[1], other[1], atol=1e-5)


def test_what_has_no_annotation_teaches_nothing(layer, logits):
    missing = [numpy.full(len(x), MISSING) for x in logits]
    loss, gradients = sequence_loss(layer, tag_scheme(TAGS), logits, missing)
    assert loss == 0 and not any(gradient.any() for gradient in gradients)


def test_no_sequence_is_illegal(layer, logits):
    scheme = tag_scheme(TAGS)
    layer.set_param("W", numpy.zeros((4, 3), dtype="float32"))
    layer.get_param("W")[:, 2] = 50.0  # what is forbidden would score best
    for tags, odds in decode_sequences(layer, scheme, logits, no_blanks(logits)):
        assert scheme.is_legal(numpy.asarray(tags))
        assert numpy.allclose(odds.sum(axis=1), 1.0, atol=1e-4)


def test_spans_do_not_begin_or_end_with_blank_tokens(layer):
    scheme = tag_scheme(TAGS)
    logits = [numpy.array([[0, 9, 0], [0, 0, 9], [0, 0, 9]], dtype="float32")]
    layer.set_param("W", numpy.zeros((4, 3), dtype="float32"))
    blanks = [numpy.array([False, False, True])]
    ((tags, _),) = decode_sequences(layer, scheme, logits, blanks)
    assert [TAGS[i] for i in tags] == ["B-PER", "I-PER", "O"]
