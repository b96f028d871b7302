import pytest
import spacy
from spacy.training import Example

from spacy_bloom.pipeline.base.cats_scores import NO_WEIGHTS, score_own_cats


def example(predicted, gold):
    doc = spacy.blank("xx")("text")
    eg = Example(doc, doc.copy())
    eg.predicted.cats, eg.reference.cats = predicted, gold
    return eg


RIGHT = example({"a": 0.9, "b": 0.1, "other": 1.0}, {"a": 1.0, "b": 0.0})
WRONG = example({"a": 0.9, "b": 0.1}, {"a": 0.0, "b": 1.0})
FOREIGN = example({"a": 0.9, "b": 0.1}, {"other": 1.0})


@pytest.mark.parametrize(
    "examples, expected",
    [([RIGHT], 1.0), ([RIGHT, WRONG], 0.5), ([RIGHT, FOREIGN], 1.0), ([WRONG, FOREIGN], 0.0)],
)
def test_docs_with_other_labels_do_not_count(examples, expected):
    scores = score_own_cats(examples, labels=["a", "b"], multi_label=False)
    assert scores["cats_micro_f"] == expected
    assert scores.keys() - NO_WEIGHTS.keys() <= {"cats_score", "cats_auc_per_type"}
