import json

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from spacy_bloom.applying.annotator import DocBatches, ShardAnnotator, threads_for
from spacy_bloom.applying.shards import Shard, cut_shards
from spacy_bloom.errors import InputError


def shard_of(*texts):
    rows = [json.dumps({"text": text, "n": n}).encode() for n, text in enumerate(texts)]
    return Shard("a.jsonl", 0, ".jsonl", rows, len(rows))


def test_docs_are_those_of_the_pipeline(ruled, corpus):
    annotate = ShardAnnotator(str(ruled))
    (shard,) = cut_shards("b.jsonl", corpus / "deep" / "b.jsonl", 100)
    docs = list(DocBin(store_user_data=True).from_bytes(annotate(shard)).get_docs(Vocab()))
    direct = list(spacy.load(ruled).pipe([doc.text for doc in docs]))
    assert [doc.to_json() for doc in docs] == [doc.to_json() for doc in direct]
    assert any(doc.ents for doc in docs)
    assert [doc.user_data["number"] for doc in docs] == list(range(25))


def test_lines_of_json(ruled):
    lines = (
        ShardAnnotator(str(ruled), format="jsonl")(shard_of("Ana en Lima", "नदी")).decode("utf8").splitlines()
    )
    first, second = map(json.loads, lines)
    assert first["ents"] == [{"start": 7, "end": 11, "label": "LOC"}] and first["meta"] == {"n": 0}
    assert second["text"] == "नदी" and "नदी" in lines[1]
    assert Doc(Vocab()).from_json(first).ents[0].text == "Lima"


def test_strings_leave_with_their_shard(ruled):
    annotate = ShardAnnotator(str(ruled))
    before = len(annotate.nlp.vocab.strings)
    for number in range(3):
        annotate(shard_of(*(f"word{number}x{n}" for n in range(50))))
    assert len(annotate.nlp.vocab.strings) == before


def test_activations_are_left_out(tmp_path):
    nlp = spacy.blank("xx")
    nlp.add_pipe("bloom_transformer")
    nlp.to_disk(tmp_path / "encoder")
    box = DocBin(store_user_data=True).from_bytes(ShardAnnotator(str(tmp_path / "encoder"))(shard_of("a b")))
    assert next(iter(box.get_docs(Vocab()))).text == "a b"


def test_what_cannot_be_saved_is_named(tmp_path):
    @spacy.Language.component("leaves_an_object")
    def leave(doc):
        doc.user_data["object"] = object()
        return doc

    nlp = spacy.blank("xx")
    nlp.add_pipe("leaves_an_object")
    nlp.to_disk(tmp_path / "odd")
    with pytest.raises(InputError, match="holds what a .spacy file cannot"):
        ShardAnnotator(str(tmp_path / "odd"))(shard_of("a"))


def test_formats_are_checked(ruled):
    with pytest.raises(InputError, match="'xml'"):
        ShardAnnotator(str(ruled), format="xml")


def test_batches_of_a_dataset_get_docs(ruled, texts):
    batch = {"text": np.array(texts, dtype=object), "id": np.arange(len(texts))}
    annotated = DocBatches(str(ruled))(batch)
    assert list(annotated) == ["text", "id", "doc"]
    docs = [Doc(Vocab()).from_bytes(data) for data in annotated["doc"]]
    assert [doc.text for doc in docs] == texts and any(doc.ents for doc in docs)
    with pytest.raises(InputError, match="'text', got body"):
        DocBatches(str(ruled))({"body": texts})


def test_workers_share_the_cores():
    assert threads_for(10_000) == 1 and threads_for(1) >= 1
