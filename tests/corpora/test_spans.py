"""Spans of characters in every form that is read."""

import pytest

from spacy_bloom.corpora.spans import read_spans
from spacy_bloom.errors import InputError

TEXT = "Ana in Lima"
FORMS = [
    {
        "text": TEXT,
        "spans": [{"start": 0, "end": 3, "label": "PER"}, {"start": 7, "end": 11, "label": "LOC"}],
    },
    {"text": TEXT, "entities": [[0, 3, "PER"], [7, 11, "LOC"]]},
    {"text": TEXT, "label": [[0, 3, "PER"], [7, 11, "LOC"]]},
]


@pytest.mark.parametrize("record", FORMS, ids=["objects", "entities", "label"])
def test_forms(write, nlp, record):
    file = write("en.dev.jsonl", [record])
    [sample] = read_spans(nlp, file)
    assert [(ent.text, ent.label_) for ent in sample.doc.ents] == [("Ana", "PER"), ("Lima", "LOC")]
    [sample] = read_spans(nlp, file, key="sc", labels=["LOC"])
    assert [span.text for span in sample.doc.spans["sc"]] == ["Lima"] and not sample.doc.ents


def test_a_text_without_spans(write, nlp):
    [sample] = read_spans(nlp, write("en.dev.jsonl", [{"text": "Nobody", "spans": []}]), key="sc")
    assert list(sample.doc.spans["sc"]) == []


@pytest.mark.parametrize(
    "row",
    [
        {"text": "ab"},
        {"spans": []},
        {"text": "ab", "spans": [{"start": 0, "end": 3, "label": "X"}]},
        {"text": "ab", "spans": [{"start": 1, "end": 1, "label": "X"}]},
        {"text": "ab", "spans": [{"start": 0, "end": 1}]},
        {"text": "ab", "spans": [[0, True, "X"]]},
        {"text": "ab", "spans": [5]},
    ],
)
def test_lines_that_are_not_understood(write, nlp, row):
    with pytest.raises(InputError, match=r"line 1: got .*, expected an object like"):
        list(read_spans(nlp, write("en.dev.jsonl", [row])))
