"""Warnings name what needs attention, and nothing else."""

import re
from collections import Counter

from spacy_bloom.cli.annotation.counts import Counts
from spacy_bloom.cli.annotation.warnings import find_warnings


def test_good_data_has_none():
    labels = {"ents": Counter(PER=10), "dep": Counter(x=1)}
    splits = {
        "train": Counts(docs=5, labels=labels, spans=Counter(ents=10), texts={1, 2}),
        "dev": Counts(docs=2, labels={"ents": Counter(PER=1)}, spans=Counter(ents=1), texts={3}),
    }
    assert list(find_warnings(splits, 512)) == []


def test_what_needs_attention():
    train = Counts(
        docs=5, blank=1, repeated=2, labels={"ents": Counter(PER=3, LOC=12)},
        spans=Counter({"ents": 15, "spans.sc": 9}),
        overlapping=Counter({"spans.sc": 4}), misaligned=Counter(ents=1), cut=Counter(ents=2),
        examples={"ents": ["'a' in 'ab'"]}, texts={1, 2},
    )  # fmt: skip
    dev = Counts(docs=2, labels={"ents": Counter(ORG=1, PER=1), "cats": Counter(x=0)}, texts={2, 3})
    said = list(find_warnings({"train": train, "dev": dev}, 512))
    expected = [
        "1 of 5 Docs have no text", "2 of 5 Docs repeat", "1 of 15 ents begin or end inside a token .* 'a' in 'ab'",
        "2 of 15 ents are cut by the border of a window of 512", "4 of 9 spans.sc overlap",
        r"fewer than 10 examples of ents: PER \(3\)", "dev: 1 of 2 texts stand in train too", "does not have: ORG",
    ]  # fmt: skip
    assert len(said) == len(expected)
    assert all(re.search(pattern, line) for pattern, line in zip(expected, said, strict=True)), said


def test_many_labels_are_not_all_listed():
    counts = Counts(labels={"tag": Counter({f"L{i}": 1 for i in range(20)})})
    [said] = find_warnings({"train": counts}, 512)
    assert "and 12 more" in said
