"""Categories in every form that is read."""

import pytest

from spacy_bloom.corpora.categories import labels_of, read_categories
from spacy_bloom.errors import InputError


def test_labels_of_a_data_set_are_0_or_1(write, nlp):
    files = [
        write(
            "en.train.jsonl",
            [{"text": "a goal", "label": "sports"}, {"text": "", "labels": ["art", "science"]}],
        ),
        write(
            "en.dev.jsonl", [{"text": "x", "cats": {"sports": 0.25, "news": 1}}, {"text": "y", "labels": []}]
        ),
    ]
    labels = labels_of(files)
    assert labels == {"en": ("art", "news", "science", "sports")}
    found = [sample.doc.cats for file in files for sample in read_categories(nlp, file, labels=labels["en"])]
    assert [{label: value for label, value in cats.items() if value} for cats in found] == [
        {"sports": 1.0},
        {"art": 1.0, "science": 1.0},
        {"sports": 0.25, "news": 1.0},
        {},
    ]
    assert all(set(cats) == set(labels["en"]) for cats in found)


@pytest.mark.parametrize(
    "bad",
    [
        "no json", "[1]", '{"text": "a"}', '{"text": 1, "label": "x"}', '{"text": "", "label": ""}',
        '{"text": "a", "cats": {"x": "y"}}', '{"text": "a", "labels": [1]}', '{"text": "\\\\ud800", "label": "x"}',
    ],
)  # fmt: skip
def test_lines_that_are_not_understood(write, bad):
    file = write("en.dev.jsonl", '{"text": "ok\\u2028ok", "label": "x"}\n' + bad.replace("\\\\", "\\"))
    with pytest.raises(InputError, match=r"line 2: got .*, expected an object like"):
        labels_of([file])


def test_a_data_set_without_labels(write):
    with pytest.raises(InputError, match="en has no label in any of its files"):
        labels_of([write("en.dev.jsonl", '{"text": "a", "labels": []}\n')])
