"""Folders of every kind become corpora."""

from collections import Counter

import pytest

from spacy_bloom.corpora.convert import KINDS, Settings, convert, guess_kind, total
from spacy_bloom.errors import InputError

ROWS = {
    "cats": [{"text": "a goal", "label": "sports"}, {"text": "an atom", "label": "science"}] * 5,
    "spans": [{"text": f"Ana {i}", "spans": [{"start": 0, "end": 3, "label": "PER"}]} for i in range(10)],
    "qa": [{"id": i, "context": f"Ana {i}", "question": "Who?", "answers": []} for i in range(10)],
}
LABELLED = [{"text": "Ana", "label": [[0, 3, "PER"]]}]


@pytest.mark.parametrize("kind", ROWS)
def test_a_file_without_a_split_is_split(nlp, write, tmp_path, kind):
    path = write("source/reviews.jsonl", ROWS[kind]).path
    assert guess_kind(path) == guess_kind(path.parent) == kind
    report = convert(path, tmp_path / "out", kind, nlp, Settings(dev=0.2, test=0.4))
    docs = {split: counts["docs"] for (_, split), counts in report.items()}
    # Texts that stand there five times stay together.
    assert docs == ({"test": 5, "dev": 5} if kind == "cats" else {"train": 4, "dev": 2, "test": 4})
    assert total(report)["docs"] == 10


def test_kinds_are_told_by_their_files(write, tmp_path):
    assert guess_kind(write("doccano.jsonl", LABELLED).path) == "spans"
    assert (
        guess_kind(write("a.iob2", "Ana\tO\n").path) == "conll"
        and guess_kind(write("a.conllu", "").path) == "conllu"
    )
    with pytest.raises(InputError, match="got conll and conllu and spans. Name the kind with --type: conll,"):
        guess_kind(tmp_path)
    with pytest.raises(InputError, match="got none"):
        guess_kind(write("empty/a.jsonl", "").path)


def test_languages_together(nlp, write, load, tmp_path):
    for split in ("train", "dev", "test"):
        write(f"source/en.{split}.conll", "Ana\tB-PER\nsings\tO\n\n" * 5)
        write(f"source/zh.{split}.conll", "北京\tB-LOC\n大\tO\n\n" * 4)
    source = tmp_path / "source"
    report = convert(source, tmp_path / "one", "conll", nlp, Settings(group=2, seed=1))
    assert report["zh", "train"] == {"docs": 2, "tokens": 12, "exact": 4}
    docs = load(tmp_path / "one" / "train.spacy")
    assert Counter(doc.user_data["lang"] for doc in docs) == {"en": 3, "zh": 2}
    assert {doc.text for doc in docs} == {"Ana sings Ana sings", "Ana sings", "北京大北京大"}
    only = convert(source, tmp_path / "one", "conll", nlp, Settings(names=["en"], labels=["LOC"]))
    assert {lang for lang, _ in only} == {"en"} and not only["en", "train"]["exact"]
    assert not list((tmp_path / "one").glob("*.zh.spacy"))
    with pytest.raises(InputError, match="no file"):
        convert(tmp_path / "one", tmp_path / "two", "conll", nlp, Settings())


def test_settings_are_checked():
    for wrong in ({"group": 0}, {"dev": -0.1}, {"dev": 0.6, "test": 0.5}):
        with pytest.raises(InputError, match="Expected"):
            Settings(**wrong)


def test_every_kind_is_described():
    assert all(kind.about and kind.suffixes for kind in KINDS.values())
