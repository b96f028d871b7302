import numpy
import pytest

from spacy_bloom.thinc_layers.hashed_ngrams import hashed_ngrams, with_like_digits


@pytest.mark.parametrize("text", ["", "a", "abcabcab", "x\U0001f600y\0", "你好" * 9])
@pytest.mark.parametrize("longest", [0, 1, 3, 50])
def test_a_hash_for_each_ngram_at_its_place(text, longest):
    by_size = dict(hashed_ngrams(text, longest))
    assert list(by_size) == list(range(1, min(longest, len(text)) + 1))
    seen: dict = {}
    for size, hashed in by_size.items():
        ngrams = [text[i : i + size] for i in range(len(text) - size + 1)]
        assert len(hashed) == len(ngrams)
        for ngram, value in zip(ngrams, hashed.tolist(), strict=True):
            assert seen.setdefault(ngram, value) == value
    assert len(set(seen.values())) == len(seen)


def test_hashes_stay_the_same():
    """Weights of saved pipelines belong to them."""
    assert dict(hashed_ngrams("ab", 2))[2].tolist() == [17511437127852497694]


def test_like_digits():
    assert with_like_digits("In 1984, ١٩٨٤ x²") == "In 0000, 0000 x²"


def test_a_long_text_takes_no_warning():
    with numpy.errstate(all="raise"):
        assert len(dict(hashed_ngrams("z" * 10_000, 5))[5]) == 9_996
