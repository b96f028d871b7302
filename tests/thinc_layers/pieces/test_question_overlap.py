import unicodedata
from math import log

import numpy
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spacy_bloom.thinc_layers.pieces.question_overlap import (
    N_FEATURES,
    REACHES,
    SIZES,
    QuestionOverlap,
    TextNgrams,
    fold,
)

TEXT = "Ana lives in Lima near Rio . Wei lives in Paris ."


def words_of(text):
    ends = numpy.cumsum([len(word) + 1 for word in text.split(" ")])
    return numpy.stack([numpy.concatenate([[0], ends[:-1]]), ends - 1], axis=1)


def overlap(text, question, offsets=None):
    offsets = words_of(text) if offsets is None else offsets
    return QuestionOverlap.of(TextNgrams.of(text), question, offsets).features(0, len(offsets))


def by_hand(text, question, offsets):
    """The features as their description says, one number after the other."""
    text, places = fold(text)
    question, _ = fold(question)
    own = numpy.zeros((len(offsets), len(SIZES)))
    for column, size in enumerate(SIZES):
        ngrams = [text[i : i + size] for i in range(len(text) - size + 1)]
        weights = [0.0] * len(text)
        for start, ngram in enumerate(ngrams):
            if ngram in question and question.strip():
                rarity = 1 - log(ngrams.count(ngram)) / log(len(ngrams) + 1)
                for place in range(start, start + size):
                    weights[place] = max(weights[place], rarity)
        for row, (start, end) in enumerate(places[offsets]):
            own[row, column] = sum(weights[start:end]) / max(end - start, 1)
    columns = [own]
    for reach in REACHES:
        before = [own[max(i - reach, 0) : i].sum(axis=0) / reach for i in range(len(own))]
        after = [own[i + 1 : i + 1 + reach].sum(axis=0) / reach for i in range(len(own))]
        for side in (before, after):
            top = numpy.max(side, axis=0, initial=0.0)
            columns.append(numpy.reshape(side, own.shape) / numpy.where(top > 0, top, 1))
    return numpy.hstack(columns)


letters = st.text("abA .,éß今\u0301\u00ad", max_size=40)


@given(text=letters, question=letters, step=st.integers(1, 5))
def test_the_features_are_what_they_say(text, question, step):
    starts = numpy.arange(0, len(text), step)
    offsets = numpy.stack([starts, numpy.minimum(starts + step, len(text))], axis=1)
    found = overlap(text, question, offsets)
    assert found.dtype == "float32" and found.shape == (len(offsets), N_FEATURES)
    numpy.testing.assert_allclose(found, by_hand(text, question, offsets), atol=2e-6)
    assert (found >= 0).all() and (found <= 1 + 1e-6).all()


@given(text=letters, question=letters, start=st.integers(0, 40), end=st.integers(0, 40))
def test_a_run_of_pieces_has_the_features_of_the_whole(text, question, start, end):
    places = numpy.arange(4 * len(text))
    offsets = numpy.stack([places // 4, places // 4 + 1], axis=1)  # four pieces a character
    start, end = sorted((min(start, len(offsets)), min(end, len(offsets))))
    found = QuestionOverlap.of(TextNgrams.of(text), question, offsets)
    whole = found.features(0, len(offsets))
    numpy.testing.assert_allclose(found.features(start, end), whole[start:end], atol=1e-6)


def test_words_of_the_question_count_by_how_rare_they_are():
    own = overlap(TEXT, "Where does WEI live?")[:, SIZES.index(3)]
    words = TEXT.split(" ")
    assert own[words.index("Wei")] == pytest.approx(1.0)
    assert 0.5 < own[words.index("lives")] < 1  # twice, and without the question's end
    assert own[words.index("Paris")] == own[words.index("Rio")] == 0


def test_how_near_they_are():
    found = overlap(TEXT, "Wei?")
    words = TEXT.split(" ")
    before_4, after_4 = (
        found[:, SIZES.index(3) + part * len(SIZES)] for part in (1, 2)
    )  # the words of the question before a word, and those after it
    wei = words.index("Wei")
    assert numpy.flatnonzero(before_4).tolist() == [wei + 1, wei + 2, wei + 3, wei + 4]
    assert numpy.flatnonzero(after_4).tolist() == [wei - 4, wei - 3, wei - 2, wei - 1]
    assert before_4.max() == after_4.max() == 1


@pytest.mark.parametrize(
    "text, question",
    [
        ("Émile Zola", "emile ZOLA?"),
        (unicodedata.normalize("NFD", "Émile"), "Émile"),
        ("Émile", unicodedata.normalize("NFD", "Émile?")),
        ("أحمد في القاهرة", "احمد"),
        ("مُحَمَّد", "محمد"),
        ("محمد", "مُحَمَّد؟"),
        ("می\u200cخواهم", "میخواهم"),
        ("ज़मीन", "ज\u093cमीन"),
        ("inter\u00adnational", "international"),
        ("ＬＩＭＡ", "lima"),
        ("𝐋𝐢𝐦𝐚", "lima"),
        ("İzmir", "izmir?"),
        ("Straße", "STRASSE"),
        ("ΟΔΟΣ", "οδος"),
    ],
)
def test_case_marks_and_forms_of_letters_make_no_difference(text, question):
    found = overlap(text, question, numpy.array([[0, len(text.split(" ")[0])]]))
    assert found[0, SIZES.index(3)] == pytest.approx(1)


def test_punctuation_and_runs_of_spaces_are_one_space():
    assert fold("Omar visits... «Cairo»,  then\nsleeps.")[0] == " omar visits cairo then sleeps "
    found = overlap("visits Cairo, then sleeps", "Cairo then?")[:, SIZES.index(9)]
    assert (found[1:3] > 0.99).all() and found[0] == found[3] == 0


@given(st.text())
@example("e\u0301\u0301 ﬁ . . x")
def test_places_of_characters(text):
    folded, places = fold(text)
    assert len(places) == len(text) + 1 and "  " not in folded
    assert (numpy.diff(places) >= 0).all() and 0 < places[-1] <= len(folded)
    for start, end, character in zip(places, places[1:], text, strict=False):
        assert folded[start:end] in ("", " ") or folded[start:end] in fold(character)[0]


@pytest.mark.parametrize("question", ["", " ", "?", "?!", "\ud800", "\u0301", "x" * 5000])
def test_questions_without_anything_to_find(question):
    assert not overlap("Omar visits Cairo, then sleeps. Often", question).any()


def test_texts_without_pieces():
    assert overlap("", "who?", numpy.zeros((0, 2), dtype="int64")).shape == (0, N_FEATURES)
