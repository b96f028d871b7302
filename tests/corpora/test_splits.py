"""What belongs together stays together, and every data set has its share."""

from collections import Counter, defaultdict

import spacy
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_bloom.corpora.samples import Sample
from spacy_bloom.corpora.splits import group_samples, split_samples

DOC = spacy.blank("xx").make_doc("")


def sample(name="en", id="1", article=None, context="c", split=None):
    keys = [("context", context), ("id", id), *([("article", f"{name} {article}")] if article else [])]
    return Sample(DOC, name, split, Counter(), tuple(keys), (id,))


def test_what_belongs_together():
    samples = [
        sample("en", "1", "0", "context one"),
        sample("zh", "1", "0", "上下文"),  # the same id in another language
        sample("zh", "2", "0", "另一个"),  # its article
        sample("fr", "3", "0", "contexte"),  # another data set's article of the same name
        sample("en", "4", None, "contexte"),  # the same context
        sample("en", "5", None, "alone"),
    ]
    groups = [sorted(each.place[0] for each in group) for group in group_samples(samples)]
    assert groups == [["1", "1", "2"], ["3", "4"], ["5"]]


some_samples = st.lists(
    st.builds(
        sample,
        name=st.sampled_from(["en", "zh"]),
        id=st.integers(0, 30).map(str),
        article=st.none() | st.integers(0, 9).map(str),
        context=st.integers(0, 30).map(str),
    ),
    max_size=40,
)


@settings(deadline=None)
@given(samples=some_samples, seed=st.integers(0, 3))
def test_nothing_is_in_two_splits(samples, seed):
    splits = split_samples(samples, dev=0.2, test=0.3, seed=seed)
    dealt = [id(each) for split in splits.values() for each in split]
    assert sorted(dealt) == sorted(map(id, samples))
    where = defaultdict(set)
    for split, chosen in splits.items():
        for each in chosen:
            for key in each.keys:
                where[key].add(split)
    assert all(len(found) == 1 for found in where.values())
    assert split_samples(samples, dev=0.2, test=0.3, seed=seed) == splits


def test_shares():
    samples = [sample(id=str(i), context=str(i)) for i in range(200)]
    splits = split_samples(samples, dev=0.1, test=0.2, seed=0)
    assert {split: len(chosen) for split, chosen in splits.items()} == {"train": 140, "dev": 20, "test": 40}
    assert splits != split_samples(samples, dev=0.1, test=0.2, seed=1)


def test_a_split_that_a_file_says_is_kept():
    samples = [
        sample(id=str(i), context="same", split=split) for i, split in enumerate(["test", "train", "dev"])
    ]
    splits = split_samples(samples, dev=0, test=1, seed=0)
    assert {split: [each.split for each in chosen] for split, chosen in splits.items()} == {
        "train": ["train"], "dev": ["dev"], "test": ["test"]
    }  # fmt: skip
