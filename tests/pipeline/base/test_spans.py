import pytest
import spacy
from spacy.tokens import Doc, Span

from spacy_bloom.pipeline.base.spans import edge_tokens, without_overlap


@pytest.mark.parametrize(
    "words, expected",
    [
        (["Ana", "\n", "Lima"], [True, False, True]),
        ([" ", "\t", "\r\n", "\u3000"], [False] * 4),
        (["\u200b", ".", "</s>"], [True] * 3),  # a zero-width space is no white space, to spaCy neither
        ([], []),
    ],
)
def test_edge_tokens(words, expected):
    doc = Doc(spacy.blank("xx").vocab, words=words, spaces=[False] * len(words))
    assert edge_tokens(doc).tolist() == expected == [bool(len(t)) and not t.is_space for t in doc]


def test_the_first_of_overlapping_spans_stays():
    doc = spacy.blank("xx")("a b c d e")
    spans = [Span(doc, 1, 3), Span(doc, 2, 5), Span(doc, 3, 4), Span(doc, 0, 2)]
    assert without_overlap(spans) == [spans[0], spans[2]]
    assert without_overlap([]) == []
