import pytest

from spacy_bloom.errors import InputError
from spacy_bloom.tokenizer.texts import check_texts, is_batch, pair_up


@pytest.mark.parametrize("words", [False, True])
def test_texts_that_are_none(words):
    good = [["a", "b"], []] if words else ["a", ""]
    assert check_texts(good, words) == good
    for bad in (5, "text", [5], [None], [b"a"], ["\ud800"]):
        with pytest.raises(InputError, match="Expected"):
            check_texts([bad] if words else bad, words)


def test_pairs():
    assert check_texts([("a", "b"), ["c", "d"]], False) == [("a", "b"), ("c", "d")]
    assert check_texts([(["a"], ["b", "c"])], True) == [(["a"], ["b", "c"])]
    for bad in (("a",), ("a", "b", "c"), ("a", None)):
        with pytest.raises(InputError):
            check_texts([bad], False)
    assert pair_up(["a", "b"], ("c", "d")) == [("a", "c"), ("b", "d")]
    for bad in ("cd", 5, ["c"]):
        with pytest.raises(InputError, match="text_pair"):
            pair_up(["a", "b"], bad)


@pytest.mark.parametrize(
    "text, words, expected",
    [
        ("a", False, False),
        (["a"], False, True),
        ([], False, True),
        (["a"], True, False),
        ([["a"]], True, True),
        ([], True, False),
        (None, False, False),
    ],
)
def test_several_texts(text, words, expected):
    assert is_batch(text, words) is expected
