import zlib

import pytest
import spacy
from spacy.attrs import IDS
from spacy.tokens import DocBin, Span
from spacy.vocab import Vocab

from spacy_bloom.corpora.doc_files import CHUNK, MAX_UNPACKED, find_text_files, open_docs, read_docs
from spacy_bloom.errors import InputError


def test_files_are_found_at_any_depth(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in ("b.txt", "deep/a.txt", "c.md"):
        (tmp_path / name).touch()
    assert list(find_text_files(tmp_path, [".txt"])) == ["b.txt", "deep/a.txt"]
    assert find_text_files(tmp_path / "b.txt", [".txt"]) == {"b.txt": tmp_path / "b.txt"}


@pytest.mark.parametrize(
    ("name", "got"), [("", "a folder without any"), ("c.md", "another file"), ("x", "nothing")]
)
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


def changed_box(tmp_path, change):
    """The path of a file of two Docs, one of them with everything, whose content was changed."""
    nlp = spacy.blank("xx")
    doc = nlp("Ana vive en Lima")
    doc.ents, doc.spans["a"] = [Span(doc, 0, 1, "PER")], [Span(doc, 2, 4, "LOC")]
    for token in doc:
        token.lemma_, token.dep_, token.pos_, token.head = "x", "y", "NOUN", doc[1]
    box = DocBin(store_user_data=True, docs=[doc, nlp("Two")])
    change(box)
    box.to_disk(tmp_path / "a.spacy")
    return tmp_path / "a.spacy"


def set_attribute(name, value):
    def change(box):
        attributes = list(box.attrs)
        box.tokens[0][1, attributes.index(IDS[name])] = value

    return change


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (set_attribute("LEMMA", 65280), r"no texts for the attributes \[65280\]"),
        (set_attribute("DEP", 2**60), "no texts for the attributes"),
        (set_attribute("POS", 7), "no parts of speech"),
        (lambda box: box.cats.__setitem__(0, 5), "no categories or user data by name"),
        (lambda box: box.span_groups.__setitem__(1, box.span_groups[0]), "span"),
    ],
    ids=["lemma", "dep", "pos", "cats", "spans of a longer Doc"],
)
def test_docs_that_would_fail_when_they_are_read(tmp_path, change, match):
    with pytest.raises(InputError, match=match):
        list(read_docs(changed_box(tmp_path, change), Vocab()))
    assert len(list(read_docs(changed_box(tmp_path, lambda box: None), Vocab()))) == 2


def test_a_small_file_that_becomes_a_large_one(tmp_path):
    path = tmp_path / "a.spacy"
    path.write_bytes(zlib.compress(bytes(MAX_UNPACKED + CHUNK)))
    assert path.stat().st_size < 200_000
    with pytest.raises(InputError, match=f"become more than {MAX_UNPACKED}"):
        open_docs(path)
