import pytest

from spacy_bloom.config.labels import MAX_LABELS, check_labels, inverse, numbered_labels
from spacy_bloom.errors import ConfigError


def test_labels_of_files():
    assert check_labels({"1": "b", "0": "a"}) == {0: "a", 1: "b"}
    assert list(check_labels({2: "c", 0: "a", 1: "b"}, 3)) == [0, 1, 2]
    with pytest.raises(ConfigError, match="num_labels=2 but 1"):
        check_labels({0: "a"}, 2)


def test_labels_without_names():
    assert numbered_labels(2) == {0: "LABEL_0", 1: "LABEL_1"}
    for count in (0, MAX_LABELS + 1, True, "2"):
        with pytest.raises(ConfigError, match="num_labels"):
            numbered_labels(count)


def test_the_inverse():
    assert inverse({"a": 0, "b": 1}) == {0: "a", 1: "b"}
    for wrong in (5, {"a": 0, "b": 0}, {"a": [0]}):
        with pytest.raises(ConfigError, match="label2id"):
            inverse(wrong)
