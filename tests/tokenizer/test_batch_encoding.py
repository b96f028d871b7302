import numpy
import pytest
import torch

from spacy_bloom.errors import InputError
from spacy_bloom.tokenizer.batch_encoding import BatchEncoding, check_texts, pad, padded_length, to_array


def test_fields_are_keys_and_attributes():
    encoding = BatchEncoding({"input_ids": torch.arange(3), "words": ["a"]})
    assert encoding.words == encoding["words"] == ["a"]
    assert encoding.to("meta").input_ids.device.type == "meta" and encoding.to("meta").words == ["a"]
    with pytest.raises(AttributeError, match="no 'labels', only"):
        _ = encoding.labels


@pytest.mark.parametrize(
    "padding, max_length, multiple, expected",
    [
        (False, 9, None, None),
        ("do_not_pad", None, 8, None),
        (True, None, None, 5),
        ("longest", 3, None, 5),
        (True, None, 4, 8),
        ("max_length", 9, None, 9),
        ("max_length", 3, None, 5),
        ("max_length", 9, 5, 10),
    ],
)
def test_the_length_that_rows_are_padded_to(padding, max_length, multiple, expected):
    assert padded_length(padding, max_length, [2, 5], multiple) == expected


def test_no_rows_have_a_length_too():
    assert padded_length(True, None, [], None) == 0 and padded_length("max_length", 4, [], None) == 4


def test_padding_on_either_side():
    assert pad([1, 2], 4, 0, "left") == [0, 0, 1, 2]
    assert pad([1, 2], 4, 0, "right") == [1, 2, 0, 0]


@pytest.mark.parametrize("kind, array", [("np", numpy.ndarray), ("pt", torch.Tensor)])
def test_rows_as_arrays(kind, array):
    found = to_array([[1, 2], [3, 4]], kind)
    assert isinstance(found, array) and found.tolist() == [[1, 2], [3, 4]]
    assert tuple(to_array([], kind).shape) == (0, 0)
    with pytest.raises(InputError, match=r"Rows of 1 to 2 pieces.*padding=True"):
        to_array([[1], [2, 3]], kind)


@pytest.mark.parametrize("words", [False, True])
def test_texts_that_are_none(words):
    good = [["a", "b"]] if words else ["a", ""]
    assert check_texts(good, words) == good
    for bad in (5, "text", [5], [None], [b"a"], ["\ud800"]):
        with pytest.raises(InputError, match="Expected"):
            check_texts([bad] if words else bad, words)
