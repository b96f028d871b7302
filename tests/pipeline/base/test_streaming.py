import pytest
import spacy
from spacy.util import raise_error

from spacy_bloom.errors import RankError
from spacy_bloom.pipeline.base.streaming import pipe_batches

DOCS = ["a", "bad", "b", "c", "bad"]


class Counting:
    """Predicts the number of Docs of each batch; fails on Docs that are bad."""

    name = "counting"

    def __init__(self):
        self.failed = []

    def predict(self, docs):
        if any(doc.text == "bad" for doc in docs):
            raise ValueError("bad")
        return [len(docs)] * len(docs)

    def set_annotations(self, docs, predictions):
        for doc, size in zip(docs, predictions, strict=True):
            doc.user_data["size"] = size

    def get_error_handler(self):
        return lambda name, proc, docs, error: self.failed.extend(doc.text for doc in docs)


@pytest.mark.parametrize("batch_size, sizes", [(1, [1, 1, 1]), (2, [1, 2, 2]), (10, [1, 1, 1])])
def test_a_bad_doc_is_dropped_alone(batch_size, sizes, caplog):
    pipe = Counting()
    caplog.set_level("INFO", logger="spacy_bloom")
    stream = map(spacy.blank("xx"), DOCS)
    found = [(doc.text, doc.user_data["size"]) for doc in pipe_batches(pipe, stream, batch_size)]
    assert found == list(zip("abc", sizes, strict=True)) and pipe.failed == ["bad", "bad"]
    # A line for each batch that is taken apart: of five, of three and of two pairs.
    assert len(caplog.records) == {1: 0, 2: 1, 10: 4}[batch_size]


@pytest.mark.parametrize("n_docs, fits, sizes", [(8, 4, [4] * 8), (9, 3, [3] * 3 + [2] * 6), (7, 1, [1] * 7)])
def test_a_batch_that_is_too_large_for_the_memory_is_halved(n_docs, fits, sizes):
    pipe = Counting()
    predict = pipe.predict

    def predict_few(docs):
        if len(docs) > fits:
            raise MemoryError(f"no room for {len(docs)} Docs")
        return predict(docs)

    pipe.predict = predict_few
    texts = [f"Doc {i}" for i in range(n_docs)]
    docs = list(pipe_batches(pipe, map(spacy.blank("xx"), texts), n_docs))
    assert [doc.text for doc in docs] == texts and pipe.failed == []
    assert [doc.user_data["size"] for doc in docs] == sizes


def test_the_doc_that_is_too_large_alone_is_reported():
    pipe, calls = Counting(), []

    def predict(docs):
        calls.append(len(docs))
        if sum(len(doc) for doc in docs) > 100:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return [len(docs)] * len(docs)

    pipe.predict = predict
    texts = ["few"] * 40 + ["many " * 101] + ["few"] * 23
    found = [doc.text for doc in pipe_batches(pipe, map(spacy.blank("xx"), texts), 64)]
    assert found == ["few"] * 63 and pipe.failed == ["many " * 101]
    assert len(calls) == 13  # two for each halving: not one for each Doc


def test_an_error_handler_may_raise():
    pipe = Counting()
    pipe.get_error_handler = lambda: raise_error
    with pytest.raises(ValueError, match="bad"):
        list(pipe_batches(pipe, map(spacy.blank("xx"), DOCS), 3))


@pytest.mark.parametrize("calls_before", [0, 1])
def test_a_rank_that_is_gone_is_no_fault_of_a_doc(calls_before):
    """Whether it is missed in a batch or when a batch that failed is halved: no error handler goes on."""
    pipe, calls = Counting(), []

    def predict(docs):
        calls.append(docs)
        raise RankError("gone") if len(calls) > calls_before else ValueError("bad")

    pipe.predict = predict
    with pytest.raises(RankError):
        list(pipe_batches(pipe, map(spacy.blank("xx"), DOCS), 3))
    assert len(calls) == calls_before + 1 and pipe.failed == []
