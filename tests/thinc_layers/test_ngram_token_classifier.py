import tracemalloc

import numpy
import pytest
import spacy
from spacy.tokens import Doc
from thinc.api import Adam, fix_random_seed

from spacy_bloom.errors import CheckpointError, ConfigError
from spacy_bloom.thinc_layers import ngram_token_classifier
from spacy_bloom.thinc_layers.ngram_token_classifier import (
    BORDER,
    SCALE,
    _features,
    create_ngram_token_classifier,
)
from spacy_bloom.thinc_layers.ngram_token_classifier import _number_words as number_words
from spacy_bloom.thinc_layers.ngram_token_classifier import _word_features as word_features
from spacy_bloom.thinc_layers.saved_layers import reading

NLP = spacy.blank("xx")
TEXTS = [
    "Ana saw 12 cats",
    "",
    "a",
    "你 好 x\U0001f600y",
    "e\u0301" * 40,
    "ANA saw 98 Cats in Rio and in Lima",
]
N_FIXED = 10 + 2 * 10 + 2 * 2 + 2


def docs(*texts):
    return [NLP.make_doc(text) for text in texts]


def make(n_outputs=2, rows=512, **settings):
    fix_random_seed(0)
    model = create_ngram_token_classifier(rows=rows, nO=n_outputs, **settings)
    model.initialize()
    return model


def draw_weights(model):
    layer = next(node for node in model.walk() if node.name == "sparse_linear")
    weights = numpy.random.default_rng(0).normal(size=layer.get_param("W").shape).astype("f")
    layer.set_param("W", weights)
    return layer


def features(*texts, sizes=(2, 3)):
    """Sets of hashes by token."""
    words, numbers, tokens = number_words(docs(*texts))
    keys, values, lengths = _features(*word_features(words, sizes), numbers, tokens)
    assert len(keys) == len(values) == lengths.sum()
    return (
        [set(part.tolist()) for part in numpy.split(keys, numpy.cumsum(lengths)[:-1])] if len(tokens) else []
    )


@pytest.mark.parametrize("sizes", [(), (1,), (2, 3), (5,), (3, 50)])
def test_ngrams_are_those_of_the_word_between_borders(sizes):
    words, _, _ = number_words(docs(*TEXTS))
    own, ngrams, starts = word_features(words, sizes)
    assert own.shape == (len(words), 10) and len(starts) == len(words) + 1 and starts[-1] == len(ngrams)
    for number, word in enumerate(words):
        bordered = f"{BORDER}{word.lower()}{BORDER}"
        expected = {bordered[i : i + n] for n in sizes for i in range(len(bordered) - n + 1)}
        if any(character.isdigit() for character in word):
            continue
        found = ngrams[starts[number] : starts[number + 1]]
        assert len(set(found.tolist())) == len(expected), word


def test_beginnings_and_ends():
    words = ["", "cats", "cat", "catalogue", "bobcats", "c"]
    own, _, _ = word_features(words, (3,))
    by_word = dict(zip(words, own, strict=True))
    first, last = slice(2, None, 2), slice(3, None, 2)
    assert (by_word["cats"][first][:3] == by_word["catalogue"][first][:3]).all()
    assert (by_word["cats"][first][:3] == by_word["cat"][first][:3]).all()
    assert by_word["cats"][first][3] != by_word["cat"][first][3]
    assert (by_word["cats"][last] == by_word["bobcats"][last]).all()
    assert (by_word["cats"][last] != by_word["cat"][last]).all()
    assert by_word["c"][first][0] == by_word["cat"][first][0]
    # One and the same beginning and end are told apart, as are those of several lengths.
    assert len(set(own.ravel().tolist())) > len(words) * 8 // 2
    assert all(len(set(row.tolist())) == len(row) for row in own)


def test_case_and_digits_count_in_the_shape_alone():
    (ana, _, twelve, _), (upper, _, other, _) = features("Ana saw 12 cats"), features("ANA saw 98 cats")
    assert len(ana - upper) == 1  # its shape
    assert not twelve ^ (features("Ana saw 98 cats")[2]) and len(twelve - other) == 1  # that of ANA


def test_letters_of_one_sound_in_the_scripts_of_india_are_alike():
    names = ["दिल्ली", "দিল্লী", "ਦਿੱਲੀ", "દિલ્લી", "ଦିଲ୍ଲୀ", "డిల్లి"]  # Delhi, written in as many ways
    assert features("ৰাম")[0] == features("राम")[0] and features("ೱ")[0] != features("॰")[0]
    hindi, bengali, punjabi, gujarati, odia, telugu = (features(name)[0] for name in names)
    assert hindi == bengali == gujarati == odia  # shapes too: letters without case
    assert len(hindi & punjabi) > N_FIXED // 2 and hindi != punjabi != telugu
    assert features("दिल्ली")[0] != features("दिल्लि")[0]


def test_what_a_token_sees_of_its_neighbours():
    one = features("a b c d e f")[2]
    assert features("x b c d e f")[2] != one != features("a b c d x f")[2]
    assert features("a b c d e x")[2] == one
    swapped = features("a d c b e f")[2]
    assert one != swapped
    # Before and after a text there is nothing, whatever the next text is.
    assert features("a", "b")[0] == features("a", "x")[0] == features("a")[0]


def test_logits_are_the_mean_of_the_weights_of_what_is_seen():
    model = make(3, sizes := 256, ngram_sizes=[2, 3])
    layer = draw_weights(model)
    assert layer.get_dim("length") == sizes
    (found,) = model.predict(docs("Ana saw cats"))
    words, numbers, tokens = number_words(docs("Ana saw cats"))
    sparse = _features(*word_features(words, (2, 3)), numbers, tokens)
    numpy.testing.assert_allclose(found, layer.predict(sparse), atol=1e-6)
    numpy.testing.assert_allclose(
        [numpy.square(v).sum() for v in numpy.split(sparse[1], numpy.cumsum(sparse[2])[:-1])],
        SCALE**2,
        rtol=1e-5,
    )


@pytest.mark.parametrize("most", [1, 200, 10**6])
def test_a_doc_does_not_depend_on_its_neighbours_or_on_how_many_tokens_run_at_once(monkeypatch, most):
    model = make(4)
    draw_weights(model)
    expected = [model.predict([doc])[0] for doc in docs(*TEXTS)]
    monkeypatch.setattr(ngram_token_classifier, "MAX_FEATURES", most)
    for one, other in zip(model.predict(docs(*TEXTS)), expected, strict=True):
        numpy.testing.assert_array_equal(one, other)


def test_a_long_text_takes_no_more_memory_than_its_logits(monkeypatch):
    monkeypatch.setattr(ngram_token_classifier, "MAX_FEATURES", 2**14)
    model, long = make(2), docs("Ana saw " * 20_000)
    tracemalloc.start()
    (logits,) = model.predict(long)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert logits.shape == (40_000, 2)
    assert peak < 10_000_000  # the keys of all features alone would be twice as much


def test_no_two_kinds_of_features_are_one():
    letters = "abcdefg"
    words = ["", *(a + b + c for a in letters for b in letters for c in letters)]
    own, ngrams, _ = word_features(words, (2, 3, 4, 5))
    assert not set(own.ravel().tolist()) & set(ngrams.tolist())
    bordered = [f"{BORDER}{word}{BORDER}" for word in words]
    different = {word[i : i + n] for word in bordered for n in (2, 3, 4, 5) for i in range(len(word) - n + 1)}
    assert len(set(ngrams.tolist())) == len(different)


def test_without_tokens():
    model = make(4)
    assert model.predict([]) == []
    assert [x.shape for x in model.predict(docs("", ""))] == [(0, 4), (0, 4)]
    logits, backprop = model(docs("", ""), is_train=True)
    backprop(logits)


def test_odd_words():
    words = ["", "a\0b", "\0", "\x1f", "a\x1fb", "x" * 3000, "\n", "İstanbul", "ΟΔΟΣ", "1"]
    model = make(2)
    draw_weights(model)
    doc = Doc(NLP.vocab, words=words[1:])
    (found,) = model.predict([doc])
    assert found.shape == (9, 2) and numpy.isfinite(found).all()
    own, ngrams, starts = word_features(words, (2,))
    assert len(own) == len(words) and starts[-1] == len(ngrams)


def test_it_learns_names_by_what_is_around_them():
    model = make(2, rows=4096)
    training = [f"{verb} {name} ." for verb in ("met", "saw") for name in ("Ana", "Anita", "Rosa", "Rosana")]
    batch, gold = docs(*training), numpy.eye(2, dtype="f")[[0, 1, 0]]
    optimizer = Adam(0.01)
    for _ in range(20):
        logits, backprop = model(batch, is_train=True)
        backprop([x - gold for x in logits])
        model.finish_update(optimizer)
    for text in ("met Mariana .", "saw Rosita ."):
        assert model.predict(docs(text))[0].argmax(axis=1).tolist() == [0, 1, 0]


def test_gradients_are_those_of_finite_differences(check_gradient):
    model = make(3, rows=64, feature_dropout=0.0)
    layer = draw_weights(model)
    batch = docs("Ana saw", "", "cats")
    draw = numpy.random.default_rng(1)
    logits, backprop = model(batch, is_train=True)
    d_logits = [draw.normal(size=x.shape).astype("f") for x in logits]
    assert backprop(d_logits) is batch

    def total():
        return sum((x * d).sum() for x, d in zip(model.predict(batch), d_logits, strict=True))

    check_gradient(layer, total, 1e-3)


def test_features_are_left_out_in_training_and_not_in_prediction():
    model = make(3, feature_dropout=0.5)
    draw_weights(model)
    batch = docs("Ana saw cats " * 200)
    (one,), _ = model(batch, is_train=True)
    (other,), _ = model(batch, is_train=True)
    (whole,) = model.predict(batch)
    numpy.testing.assert_array_equal(whole, model.predict(batch)[0])
    assert numpy.abs(one - other).mean() > 0.1
    numpy.testing.assert_allclose(one[3:-3].mean(axis=0), whole[3:-3].mean(axis=0), atol=2.0)


def test_more_outputs_keep_what_was_learnt():
    model = make(2)
    draw_weights(model)
    (before,) = model.predict(docs("Ana saw"))
    model.attrs["resize_output"](model, 4)
    (after,) = model.predict(docs("Ana saw"))
    numpy.testing.assert_array_equal(after[:, :2], before)
    assert (after[:, 2:] == -10.0).all() and model.get_dim("nO") == 4


@pytest.mark.parametrize("setting", [{"rows": 0}, {"ngram_sizes": [0, 3]}, {"ngram_sizes": [-1]}])
def test_settings_below_one_are_an_error(setting):
    with pytest.raises(ConfigError, match="of 1 or more, got"):
        create_ngram_token_classifier(**setting)


@pytest.mark.parametrize("dropout", [-0.1, 1.0])
def test_dropout_of_everything_is_an_error(dropout):
    with pytest.raises(ConfigError, match="feature_dropout to be from 0 to less than 1"):
        create_ngram_token_classifier(feature_dropout=dropout)


def test_saved_weights_of_other_sizes_are_refused():
    content = make().to_dict()
    params = next(params for params in content["params"] if "W" in params)
    params["W"] = numpy.zeros(512, dtype="f")
    model = create_ngram_token_classifier(rows=512)
    with pytest.raises(CheckpointError, match="does not fit"), reading("it", model):
        model.from_dict(content)
