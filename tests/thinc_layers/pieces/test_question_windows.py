from itertools import pairwise

import numpy
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc

from spacy_bloom import BloomTokenizerFast
from spacy_bloom.thinc_layers.pieces.question_overlap import QuestionOverlap, TextNgrams
from spacy_bloom.thinc_layers.pieces.question_windows import (
    cut_question_windows,
    read_questions,
    token_pieces,
)
from spacy_bloom.thinc_layers.pieces.windows import DocPieces, WindowSettings, cut_docs

TEXT = "Ana lives in Lima near Rio . 今天 Wei 在 Paris 。"


@pytest.fixture(scope="module")
def tokenizer(checkpoint):
    return BloomTokenizerFast.from_pretrained(checkpoint)


sizes = st.integers(2, 12).flatmap(lambda w: st.tuples(st.just(w), st.integers(0, w - 1)))


@given(questions=st.lists(st.tuples(st.integers(1, 30), st.integers(0, 60)), max_size=5), size=sizes)
def test_windows_cover_every_piece_behind_the_question(questions, size):
    window, context = size
    pieces = [DocPieces(numpy.arange(100, 100 + n), [], None, None, None) for _, n in questions]
    prefixes = [numpy.arange(n) for n, _ in questions]
    overlaps = [object() for _ in questions]
    windows = cut_question_windows(pieces, prefixes, overlaps, WindowSettings(window, context))
    for i, (prefix, length) in enumerate(questions):
        own = [w for w in windows if w.asked == i]
        assert {p for w in own for p in range(w.start, w.end)} == set(range(length))
        for w in own:
            assert w.ids.tolist() == [*range(prefix), *range(100 + w.start, 100 + w.end)]
            assert w.prefix == prefix and len(w) == len(w.ids)
            assert w.overlap is overlaps[i]
            assert len(w) <= max(window, prefix + context + max((window - context) // 2, 1))
        # No more of them than with half the new pieces that there were room for without a question.
        assert len(own) <= length / max((window - context) // 2, 1) + 1
        for before, after in pairwise(own):
            assert before.end - after.start == context


def test_a_doc_is_cut_once_for_all_its_questions(tokenizer):
    doc, other = (spacy.blank("xx")(text) for text in (TEXT, "Omar visits Cairo"))
    windows, tokens = read_questions(
        tokenizer,
        [(doc, "a?"), (other, "a?"), (doc, "b b b?")],
        separator="\n",
        settings=WindowSettings(500, 0),
    )
    assert [w.asked for w in windows] == [0, 1, 2]
    runs = [w.ids[w.prefix :].tolist() for w in windows]
    assert runs[0] == runs[2] == cut_docs(tokenizer, [doc])[0].ids.tolist() != runs[1]
    assert [len(t.first) for t in tokens] == [len(doc), len(other), len(doc)]


def test_each_question_is_compared_with_its_doc(tokenizer):
    docs = [spacy.blank("xx")(text) for text in (TEXT * 3, "Omar visits Cairo")]
    asked = [(docs[0], "Who lives in Lima?"), (docs[1], "Where is Omar?"), (docs[0], "Where is Omar?")]
    settings = WindowSettings(30, 8)
    windows, _ = read_questions(tokenizer, asked, separator="\n", settings=settings, with_overlap=True)
    assert len(windows) > len(asked)
    for w in windows:
        doc, question = asked[w.asked]
        offsets = cut_docs(tokenizer, [doc])[0].offsets
        expected = QuestionOverlap.of(TextNgrams.of(doc.text), question, offsets)
        numpy.testing.assert_array_equal(w.overlap.own, expected.own)
        assert len(w.overlap.own) == len(offsets)
    without, _ = read_questions(tokenizer, asked, separator="\n", settings=settings)
    assert [w.overlap for w in without] == [None] * len(windows)


def test_control_tokens_are_text_except_in_the_separator(tokenizer):
    special = set(tokenizer.all_special_ids)
    doc = Doc(spacy.blank("xx").vocab, words=["a", "</s>", "<pad>b"])
    (window,), _ = read_questions(
        tokenizer, [(doc, "<s>who</s>?")], separator="\n", settings=WindowSettings(500, 0)
    )
    assert not special & set(window.ids.tolist())
    assert tokenizer.decode(window.ids.tolist()) == "<s>who</s>?\na </s> <pad>b "
    (window,), _ = read_questions(
        tokenizer, [(doc, "who?")], separator="</s>", settings=WindowSettings(500, 0)
    )
    assert window.ids[window.prefix - 1] == tokenizer.eos_token_id
    assert special & set(window.ids.tolist()) == {tokenizer.eos_token_id}


def test_pieces_of_tokens(tokenizer):
    doc = spacy.blank("xx")(TEXT)
    pieces = cut_docs(tokenizer, [doc])[0]
    found = token_pieces(pieces.align)
    starts = numpy.cumsum(pieces.align.lengths) - pieces.align.lengths
    for i in range(len(doc)):
        own = pieces.align.dataXd[starts[i] : starts[i] + pieces.align.lengths[i]]
        assert (found.first[i], found.last[i]) == (own.min(), own.max())
