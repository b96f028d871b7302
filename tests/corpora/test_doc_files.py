import pytest
import spacy
from spacy.tokens import DocBin
from spacy.vocab import Vocab

from spacy_bloom.corpora.doc_files import find_text_files, open_docs, read_docs
from spacy_bloom.errors import InputError


def test_files_are_found_at_any_depth(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in ("b.txt", "deep/a.txt", "c.md"):
        (tmp_path / name).touch()
    assert list(find_text_files(tmp_path, [".txt"])) == ["b.txt", "deep/a.txt"]
    assert find_text_files(tmp_path / "b.txt", [".txt"]) == {"b.txt": tmp_path / "b.txt"}


@pytest.mark.parametrize(("name", "got"), [("", "a folder without any"), ("c.md", "another file"), ("x", "nothing")])
def test_nothing_to_read_is_an_error(tmp_path, name, got):
    (tmp_path / "c.md").touch()
    with pytest.raises(InputError, match=rf"a file \.txt, \.jsonl or a folder of these, got {got}"):
        find_text_files(tmp_path / name, [".txt", ".jsonl"])


def test_docs_come_as_they_were_saved(tmp_path):
    doc = spacy.blank("xx")("Ana vive en Lima")
    doc.user_data["lang"] = "es"
    DocBin(store_user_data=True, docs=[doc, doc]).to_disk(tmp_path / "a.spacy")
    assert len(open_docs(tmp_path / "a.spacy")) == 2
    read = list(read_docs(tmp_path / "a.spacy", Vocab()))
    assert [(one.text, one.user_data["lang"]) for one in read] == [(doc.text, "es")] * 2


def test_damage_is_named(tmp_path):
    path = tmp_path / "a.spacy"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match=r"a\.spacy is not a file of Docs"):
        open_docs(path)
    box = DocBin(docs=[spacy.blank("xx")("Ana vive")])
    box.tokens[0] = box.tokens[0][:, :3]  # attributes are missing
    box.to_disk(path)
    with pytest.raises(InputError, match=r"a\.spacy is not a file of Docs"):
        list(read_docs(path, Vocab()))
