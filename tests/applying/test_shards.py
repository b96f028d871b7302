import pytest
import spacy
from spacy.tokens import DocBin
from spacy.vocab import Vocab

from spacy_bloom.applying.shards import count_docs, cut_shards, find_sources
from spacy_bloom.applying.texts import read_shard
from spacy_bloom.errors import InputError


def texts_of(shards):
    read = ([text for text, _ in read_shard(shard, Vocab())] for shard in shards)
    return [[getattr(text, "text", text) for text in texts] for texts in read]


def test_files_are_found_at_any_depth(corpus):
    assert list(find_sources(corpus)) == ["a.txt", "deep/b.jsonl", "deep/c.spacy"]
    assert list(find_sources(corpus / "a.txt")) == ["a.txt"]


def test_nothing_to_read_is_an_error(tmp_path):
    with pytest.raises(InputError, match="a folder without any"):
        find_sources(tmp_path)
    with pytest.raises(InputError, match="got nothing"):
        find_sources(tmp_path / "missing")


@pytest.mark.parametrize("size", [1, 6, 7, 57, 1000])
def test_every_text_is_in_one_shard_in_order(corpus, texts, size):
    found = []
    for name, path in find_sources(corpus).items():
        shards = list(cut_shards(name, path, size))
        cut = texts_of(shards)
        assert [shard.n_docs for shard in shards] == [len(one) for one in cut]
        assert sum(shard.n_docs for shard in shards) == count_docs(path)
        assert all(len(one) == size for one in cut[:-1]) and 0 < len(cut[-1]) <= size
        found += [text for one in cut for text in one]
    assert found == texts


def test_shards_that_are_done_are_left_out(corpus):
    path = corpus / "a.txt"
    all_shards = list(cut_shards("a.txt", path, 6))
    assert list(cut_shards("a.txt", path, 6, done={0, 2})) == [all_shards[1], all_shards[3]]


@pytest.mark.parametrize("end", ["", "\n", "\n\n\n", "\n \n"])
def test_blank_lines_at_the_end_make_no_shard(tmp_path, end):
    path = tmp_path / "a.txt"
    path.write_text("\ufeffone\n\ntwo" + end, encoding="utf8")
    assert count_docs(path) == 2
    assert texts_of(cut_shards("a.txt", path, 1)) == [["one"], ["two"]]
    assert texts_of(cut_shards("a.txt", path, 2)) == [["one", "two"]]


def test_parquet(tmp_path, texts):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"text": texts, "id": list(range(len(texts)))}), path)
    assert count_docs(path) == len(texts)
    shards = list(cut_shards("a.parquet", path, 10))
    read = [pair for shard in shards for pair in read_shard(shard, Vocab())]
    assert read == [(text, {"id": number}) for number, text in enumerate(texts)]


@pytest.mark.parametrize("name", ["a.spacy", "a.parquet"])
def test_damaged_files_are_named(tmp_path, name):
    pytest.importorskip("pyarrow")
    (tmp_path / name).write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match=name):
        count_docs(tmp_path / name)


def test_docs_keep_their_annotation(tmp_path):
    doc = spacy.blank("xx")("Ana vive en Lima")
    doc.user_data["lang"] = "es"
    doc.cats["travel"] = 0.5
    DocBin(store_user_data=True, docs=[doc]).to_disk(tmp_path / "a.spacy")
    (shard,) = cut_shards("a.spacy", tmp_path / "a.spacy", 10)
    ((read, _),) = read_shard(shard, Vocab())
    assert (read.text, read.cats, read.user_data["lang"]) == (doc.text, {"travel": 0.5}, "es")
