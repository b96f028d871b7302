import re

import numpy
import pytest
import spacy
from thinc.api import Adam

from spacy_bloom.errors import CheckpointError, ConfigError
from spacy_bloom.thinc_layers.ngram_classifier import SCALE, _features, create_ngram_classifier
from spacy_bloom.thinc_layers.saved_layers import reading

NLP = spacy.blank("xx")
TEXTS = ["Good day", "  GOOD\u00a0 day\n", "", " ", "a", "你好世界", "x\U0001f600y", "e\u0301" * 40]


def docs(*texts):
    return [NLP.make_doc(text) for text in texts]


def features(text, sizes=(1, 2, 3)):
    return _features(NLP.make_doc(text), sizes)


def trained(n_outputs=2, rows=512):
    model = create_ngram_classifier(rows=rows, nO=n_outputs)
    model.initialize()
    batch, gold = docs("good day", "bad night"), numpy.eye(n_outputs, dtype="f")[:2]
    optimizer = Adam(0.01)
    for _ in range(20):
        logits, backprop = model(batch, is_train=True)
        backprop(logits - gold)
        model.finish_update(optimizer)
    return model


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("sizes", [(1,), (2,), (3,), (1, 4), (50,)])
def test_features_are_the_words_and_the_ngrams_each_once(text, sizes):
    words = text.lower().split()
    padded = re.sub(r"\d", "0", f" {' '.join(words)} ")
    ngrams = {padded[i : i + n] for n in sizes for i in range(len(padded) - n + 1)} if words else set()
    tokens = {token.lower for token in NLP.make_doc(text)} if words else set()
    assert len(features(text, sizes)) == len(ngrams) + len(tokens)


def test_ngrams_of_other_lengths_and_order_differ():
    texts = ["ab", "ba", "aab", "aba", "baa", "abab"]
    assert len({tuple(features(text, (2,))) for text in texts}) == len(texts)


def test_all_digits_are_alike_in_ngrams_and_not_in_words():
    one, other = (set(features(text, (4,))) for text in ("in 1874", "in 2036"))
    assert len(one - other) == len(other - one) == 1
    assert set(features("in ١٨٧٤", (4,))) >= one & other


def test_case_and_whitespace_do_not_matter_to_ngrams():
    assert set(features("Good  DAY\n", (3,))) >= set(features("good day", (3,)))


def test_logits_are_the_mean_of_the_weights_of_what_occurs():
    model = trained()
    layer = next(node for node in model.walk() if node.name == "sparse_linear")
    expected = []
    for doc in docs("good day", "good", ""):
        found = _features(doc, (3, 4))
        values = numpy.full(len(found), SCALE / max(len(found), 1) ** 0.5, dtype="f")
        lengths = numpy.array([len(found)], dtype="int32")
        expected.append(layer.predict((found, values, lengths))[0])
    found = model.predict(docs("good day", "good", ""))
    numpy.testing.assert_allclose(found, numpy.stack(expected), atol=1e-6)
    numpy.testing.assert_array_equal(found[2], layer.get_param("b"))


def test_it_learns_and_a_doc_does_not_depend_on_its_neighbours():
    model = trained()
    batch = docs("good day", "bad night", "", "good morning")
    together = model.predict(batch)
    assert together[[0, 3], 0].min() > together[[0, 3], 1].max() and together[1, 1] > together[1, 0]
    for row, doc in zip(together, batch, strict=True):
        numpy.testing.assert_array_equal(model.predict([doc])[0], row)
    assert model.predict([]).shape == (0, 2)


def test_gradients_are_those_of_finite_differences(check_gradient):
    model = create_ngram_classifier(rows=64, nO=3)
    model.initialize()
    layer = next(node for node in model.walk() if node.name == "sparse_linear")
    draw = numpy.random.default_rng(0)
    weights = draw.normal(size=layer.get_param("W").shape).astype("f")
    layer.set_param("W", weights)
    batch, d_logits = docs("good day", "bad"), draw.normal(size=(2, 3)).astype("f")
    _, backprop = model(batch, is_train=True)
    backprop(d_logits)
    check_gradient(layer, lambda: (model.predict(batch) * d_logits).sum(), 1e-4)


def test_more_outputs_keep_what_was_learnt():
    model = trained()
    before = model.predict(docs("good day"))
    model.attrs["resize_output"](model, 4)
    after = model.predict(docs("good day"))
    numpy.testing.assert_array_equal(after[:, :2], before)
    assert after[:, 2:].max() < before.min() - 5


@pytest.mark.parametrize("setting", [{"rows": 0}, {"ngram_sizes": [0, 3]}, {"ngram_sizes": [-1]}])
def test_settings_below_one_are_an_error(setting):
    with pytest.raises(ConfigError, match="of 1 or more, got"):
        create_ngram_classifier(**setting)


def test_words_alone_without_ngrams():
    model = create_ngram_classifier(ngram_sizes=[], rows=64, nO=2)
    model.initialize()
    assert model.predict(docs("good day")).shape == (1, 2)


@pytest.mark.parametrize("name, size", [("W", 512), ("W", 1023), ("W", 2048), ("b", 1), ("b", 512)])
def test_saved_weights_of_other_sizes_are_refused(name, size):
    """thinc's layer would read beyond the end of a smaller array."""
    content = trained().to_dict()
    params = next(params for params in content["params"] if "W" in params)
    params[name] = numpy.zeros(size, dtype="f")
    model = create_ngram_classifier(rows=512)
    with pytest.raises(CheckpointError, match="does not fit"), reading("it", model):
        model.from_dict(content)
