"""Bits of pieces are shared among tokens by bytes, and none is lost."""

import numpy
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_bloom import BloomTokenizerFast
from spacy_bloom.errors import InputError
from spacy_bloom.pipeline.base.token_bits import BytePlaces, Spelling, byte_places

NLP = spacy.blank("xx")


@pytest.fixture(scope="module")
def spelling(checkpoint):
    return Spelling.of(BloomTokenizerFast.from_pretrained(checkpoint))


def ids_of(spelling, doc):
    return numpy.array(
        spelling.tokenizer(doc.text, split_special_tokens=True)["input_ids"], dtype=numpy.int64
    )


def test_the_spelling_of_pieces(spelling):
    tokenizer = spelling.tokenizer
    for text in ("river", " river", "雨", " ", "e"):
        (ids,) = tokenizer([text], split_special_tokens=True)["input_ids"]
        assert spelling.n_bytes[ids].sum() == len(text.encode("utf8"))
        assert spelling.begins_with_space[ids[0]] == text.startswith(" ")
        assert spelling.n_leading[ids[0]] == (
            1 if tokenizer.decode(ids[:1]).startswith(" ") and text != " " else 0
        )
    only_space = tokenizer.get_vocab()["Ġ"]
    assert spelling.begins_with_space[only_space] and spelling.n_leading[only_space] == 0


def test_bits_are_spread_over_bytes_without_leading_spaces():
    # "ab cd": pieces "a", "b cd" and tokens "ab", "cd"; the second piece begins without a space.
    places = BytePlaces(
        starts=numpy.array([0, 1]),
        ends=numpy.array([1, 5]),
        inner_starts=numpy.array([0, 1]),
        token_ends=numpy.array([2, 5]),
    )
    assert places.share(numpy.array([3.0, 4.0])).tolist() == [4.0, 3.0]
    assert places.token_of(numpy.array([0, 1, 2, 4, 9])).tolist() == [0, 0, 1, 1, 1]
    # "ab cd" as "ab", " cd": the space costs nothing.
    places = BytePlaces(numpy.array([0, 2]), numpy.array([2, 5]), numpy.array([0, 3]), numpy.array([2, 5]))
    assert places.share(numpy.array([3.0, 4.0])).tolist() == [3.0, 4.0]


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_any_texts_places_and_sums(spelling, text):
    doc = NLP(text)
    ids = ids_of(spelling, doc)
    places = byte_places(doc, ids, spelling)
    encoded = text.encode("utf8")
    assert places.starts[0] == 0 and places.ends[-1] == len(encoded) >= places.token_ends[-1]
    assert (places.starts[1:] == places.ends[:-1]).all()
    bits = numpy.linspace(0.5, 3.0, len(ids))
    assert places.share(bits).sum() == pytest.approx(bits.sum())


def test_pieces_of_another_text_are_an_error(spelling):
    with pytest.raises(InputError, match="spell the text byte by byte"):
        byte_places(NLP("river"), ids_of(spelling, NLP("rivers and seas")), spelling)


def test_added_words_have_the_bytes_of_their_text(checkpoint):
    tokenizer = BloomTokenizerFast.from_pretrained(checkpoint)
    tokenizer.backend_tokenizer.add_tokens(["Straßenbahn", "été", "今天吗"])
    spelling = Spelling.of(tokenizer)
    for text in ("Die Straßenbahn kommt.", "un été", "今天吗 Straßenbahnété"):
        doc = NLP(text)
        places = byte_places(doc, ids_of(spelling, doc), spelling)
        assert places.ends[-1] == len(text.encode("utf8"))
