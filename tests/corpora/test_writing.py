"""Files of Docs by split and data set, in an order that a seed decides."""

from collections import Counter

from spacy_bloom.corpora.samples import Sample
from spacy_bloom.corpora.writing import write_corpus


def test_files_and_counts(nlp, load, tmp_path):
    def samples(split, n):
        return [
            Sample(nlp.make_doc(f"{name} {i}"), name, split, Counter(exact=i))
            for name in ("en", "fr")
            for i in range(n)
        ]

    splits = {"train": samples("train", 6), "dev": samples("dev", 2), "test": []}
    report = write_corpus(splits, tmp_path / "one", seed=1)
    assert report["fr", "train"] == {"docs": 6, "tokens": 12, "exact": 15} and ("en", "test") not in report
    names = ["dev.en.spacy", "dev.fr.spacy", "dev.spacy", "train.spacy"]
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == names
    texts = [doc.text for doc in load(tmp_path / "one" / "train.spacy")]
    assert texts != sorted(texts) == sorted(sample.doc.text for sample in splits["train"])
    write_corpus(splits, tmp_path / "two", seed=1)
    write_corpus(splits, tmp_path / "three", seed=2)
    assert (tmp_path / "one" / "train.spacy").read_bytes() == (tmp_path / "two" / "train.spacy").read_bytes()
    assert texts != [doc.text for doc in load(tmp_path / "three" / "train.spacy")]


def test_nothing_is_left_of_an_earlier_selection(nlp, tmp_path):
    docs = {name: [Sample(nlp.make_doc("a"), name, "dev")] for name in ("en", "fr")}
    write_corpus({"dev": docs["en"] + docs["fr"], "train": docs["en"]}, tmp_path)
    (tmp_path / "dev.mine.spacy").touch()
    write_corpus({"dev": docs["fr"], "train": []}, tmp_path, known=["en", "fr"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dev.fr.spacy", "dev.mine.spacy", "dev.spacy"]
