"""Groups, all together, and the average."""

import pytest

from spacy_bloom.cli.evaluation.results import average, evaluate_task


def test_groups_and_averages(nlp, gold, predict):
    result = evaluate_task("ents", predict(nlp, gold().values()), n_mistakes=1)
    assert list(result.rows) == ["en", "pt", "xx", "(all)", "(mean)"] and result.main == "f_score"
    assert [result.micro[name] for name in ("docs", "right", "predicted", "gold")] == [3, 3, 4, 4]
    assert result.micro["f_score"] == pytest.approx(0.75)
    assert result.macro["f_score"] == pytest.approx((0.8 + 2 / 3) / 3) and "docs" not in result.macro
    assert set(result.mistakes) == {"en", "pt"}
    assert result.labels["PER"]["recall"] == pytest.approx(2 / 3)
    found = result.to_json()
    assert found["confusion"] == {"LOC": {"LOC": 1}, "PER": {"PER": 2, "-": 1}, "-": {"LOC": 1}}


def test_one_group_needs_no_average(nlp, gold, predict):
    result = evaluate_task("ents", predict(nlp, [gold()["en"]]))
    assert list(result.rows) == ["en"] and not result.mistakes


def test_a_score_that_a_group_does_not_have():
    assert average([{"docs": 1, "uas": 0.5}, {"docs": 1, "uas": None}, {"docs": 1, "las": 1.0}]) == {
        "uas": 0.5, "las": 1.0
    }  # fmt: skip
