import pytest

from spacy_bloom.pipeline.answering.answer_scores import answer_scores, mean_scores, normalize


@pytest.mark.parametrize(
    "predicted, gold, em, f1, char_f1",
    [
        ("The Lima!", ["lima"], 1, 1, 1),
        ("in Lima", ["Lima"], 0, 2 / 3, 2 * 4 / (6 + 4)),
        ("Rio", ["Lima", "Rio de", "Rio"], 1, 1, 1),
        ("", ["Lima"], 0, 0, 0),
        ("Lima", [], 0, 0, 0),
        ("", [], 1, 1, 1),
        ("在北京", ["北京"], 0, 0, 4 / 5),
        ("《北京》。", ["北京"], 1, 1, 1),
        ("a a b", ["a b b"], 0, 2 / 3, 2 / 3),  # "a" is an article
        ("x x y", ["x y y"], 0, 2 / 3, 2 / 3),
    ],
)
def test_answer_scores(predicted, gold, em, f1, char_f1):
    found = answer_scores(predicted, gold)
    assert found == pytest.approx({"em": em, "f1": f1, "char_f1": char_f1})


def test_normalize():
    assert normalize("  The  Theatre, an-other «A» day؟ ") == "theatre another day"
    assert normalize("$5.00 + पानी।") == "500 पानी"


def test_means():
    pairs = [("Lima", ["Lima"]), ("", ["Rio"])]
    assert mean_scores(pairs) == {"em": 0.5, "f1": 0.5, "char_f1": 0.5}
    assert mean_scores([]) == {"em": None, "f1": None, "char_f1": None}
