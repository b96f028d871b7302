import numpy
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.vocab import Vocab
from tokenizers import Tokenizer

from spacy_bloom import BloomTokenizerFast
from spacy_bloom.thinc_layers.pieces.alignment import align, token_offsets
from spacy_bloom.thinc_layers.pieces.windows import cut_docs

VOCAB = Vocab()
HARD = (
    "The river été ñ 今天天气很好，公园。القطار۔ किताबक्षि। வானம் ภาษาไทย 한국어 "
    "👩🏽\u200d🚀👨\u200d👩\u200d👧🇫🇷#\ufe0f\u20e3 e\u0301\u0301\u0308 \u200b\u200c\u200d\u00ad"
    "\t\n\r\u3000\u00a0\x00\x1c \ufeff.,!?…</s><pad><s><unk>Ġ𝔘𐍈"
)
characters = st.one_of(st.sampled_from(HARD), st.characters(exclude_categories=("Cs",)))
any_text = st.text(characters, max_size=40)
words = st.one_of(
    st.text(characters, min_size=1, max_size=6),
    st.sampled_from([" ", "   ", "\n\t", "</s>", "<pad>", "<s>", "<unk>", "river", "今天", "é", "👩🏽‍🚀"]),
)


@pytest.fixture(scope="module")
def tokenizer(tiny_tokenizer_json):
    return BloomTokenizerFast(Tokenizer.from_str(tiny_tokenizer_json))


def slow_alignment(doc, encoding):
    """By definition: for each token, the pieces of which at least one character is the token's."""
    result = []
    for token in doc:
        own = set(range(token.idx, token.idx + len(token)))
        result.append([i for i, (start, end) in enumerate(encoding.offsets) if own & set(range(start, end))])
    return result


def encode(tokenizer, text):
    return tokenizer.encode_batch([text], split_special_tokens=True)[0]


def aligned(tokenizer, doc):
    """The pieces of each token, as lists; checks the array on the way."""
    pieces = cut_docs(tokenizer, [doc])[0]
    lengths = pieces.align.lengths
    assert lengths.shape == (len(doc),) and lengths.sum() == len(pieces.align.dataXd)
    return (
        [part.tolist() for part in numpy.split(pieces.align.dataXd, numpy.cumsum(lengths)[:-1])]
        if len(doc)
        else []
    )


def check(tokenizer, doc):
    found = aligned(tokenizer, doc)
    expected = slow_alignment(doc, encode(tokenizer, doc.text))
    assert len(found) == len(expected) == len(doc)
    for token, got, wanted in zip(doc, found, expected, strict=True):
        assert got, f"no piece for {token.text!r}"
        assert got == wanted


@settings(max_examples=150, deadline=None)
@given(tokens=st.lists(words, max_size=12), spaces=st.lists(st.booleans(), min_size=12, max_size=12))
@example(tokens=[" ", "\n", " a"], spaces=[True] * 12)
def test_any_tokens(tokenizer, tokens, spaces):
    """Finer than pieces, wider, of whitespace. (spaCy has no empty tokens.)"""
    check(tokenizer, Doc(VOCAB, words=tokens, spaces=spaces[: len(tokens)]))


@settings(max_examples=100, deadline=None)
@given(
    text=any_text, lead=st.sampled_from(["", " ", "  \t", "\n"]), trail=st.sampled_from(["", " ", "\n\n  "])
)
def test_one_token_per_character(tokenizer, text, lead, trail):
    """Cut finer than any piece: many tokens share a piece, and marks stand apart from their letters."""
    check(tokenizer, Doc(VOCAB, words=list(lead + text + trail), spaces=[False] * len(lead + text + trail)))


@settings(max_examples=60, deadline=None)
@given(text=any_text.filter(bool))
def test_one_token_for_all(tokenizer, text):
    check(tokenizer, Doc(VOCAB, words=[text], spaces=[False]))


def test_pieces_of_a_character_and_pieces_over_two_tokens(tokenizer):
    """The cases that make it hard do occur."""
    pieces = encode(tokenizer, "𝔘")
    assert len(pieces.ids) == 4 and set(pieces.offsets) == {(0, 1)}
    doc = Doc(VOCAB, words=["r", "iver", "𝔘"], spaces=[False, True, False])
    river = encode(tokenizer, "river").ids
    found = aligned(tokenizer, doc)
    assert len(river) < 5
    assert found[0][-1] == found[1][0] == 0  # one piece, two tokens
    assert len(found[2]) >= 4
    check(tokenizer, doc)


@pytest.mark.parametrize("control", ["</s>", "<pad>", "<s>", "<unk>"])
def test_control_tokens_in_text_are_text(tokenizer, control):
    doc = Doc(VOCAB, words=["a", control, "b"], spaces=[True, False, False])
    ids = cut_docs(tokenizer, [doc])[0].ids
    assert not set(ids.tolist()) & set(tokenizer.all_special_ids)
    assert tokenizer.decode(ids) == f"a {control}b"
    check(tokenizer, doc)


@pytest.mark.parametrize("word", ["x" * 5000, "今" * 5000, "👩🏽‍🚀" * 1250, " " * 5000, "\u0301" * 5000])
def test_a_very_long_token(tokenizer, word):
    doc = Doc(VOCAB, words=["a", word, "b"], spaces=[True, True, False])
    check(tokenizer, doc)
    check(tokenizer, Doc(VOCAB, words=[word]))


def test_a_doc_without_tokens(tokenizer):
    pieces = cut_docs(tokenizer, [Doc(VOCAB)])[0]
    assert len(pieces.ids) == 0 and pieces.align.lengths.shape == (0,)


def test_a_doc_has_the_same_pieces_in_any_batch(tokenizer):
    docs = [Doc(VOCAB, words=w) for w in (["The", "river"], [], ["今天", "</s>"], [" "])]
    together = cut_docs(tokenizer, docs)
    for doc, pieces in zip(docs, together, strict=True):
        alone = cut_docs(tokenizer, [doc])[0]
        assert alone.ids.tolist() == pieces.ids.tolist()
        assert alone.strings == pieces.strings
        assert alone.align.dataXd.tolist() == pieces.align.dataXd.tolist()


def test_offsets_of_tokens():
    doc = Doc(VOCAB, words=["a", " ", "👩🏽", "b"], spaces=[True, True, False, True])
    starts, ends = token_offsets(doc)
    assert starts.tolist() == [0, 2, 4, 6]
    assert ends.tolist() == [1, 3, 6, 7]
    assert [doc.text[a:b] for a, b in zip(starts, ends, strict=True)] == ["a", " ", "👩🏽", "b"]


def test_offsets_of_one_token_and_of_none():
    assert [x.tolist() for x in token_offsets(Doc(VOCAB, words=["ab"]))] == [[0], [2]]
    assert [x.tolist() for x in token_offsets(Doc(VOCAB))] == [[], []]


def test_a_token_without_characters_takes_the_nearest_piece():
    ints = numpy.array
    found = align(ints([0, 1, 3]), ints([1, 1, 3]), ints([0, 1]), ints([1, 2]))
    assert found.dataXd.tolist() == [0, 1, 1] and found.lengths.tolist() == [1, 1, 1]
