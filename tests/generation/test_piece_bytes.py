import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer

from spacy_bloom import BloomTokenizerFast
from spacy_bloom.errors import InputError
from spacy_bloom.generation.piece_bytes import END, PieceBytes, TextStream, to_symbols

TEXT = "The river été 今天天气很好 القطار किताब e\u0301 👩🏽\u200d🚀 \t\n\x00</s> 𐍈 in  spring"
SIZE = 600
any_text = st.text(st.one_of(st.sampled_from(TEXT), st.characters(exclude_categories=("Cs",))), max_size=20)


@pytest.fixture(scope="module")
def tokenizer(tiny_tokenizer_json):
    return BloomTokenizerFast(Tokenizer.from_str(tiny_tokenizer_json))


@pytest.fixture(scope="module")
def pieces(tokenizer):
    return PieceBytes(tokenizer)


@settings(deadline=None, max_examples=50)
@given(any_text)
def test_the_pieces_of_a_text_have_its_bytes(tokenizer, pieces, text):
    ids = tokenizer.encode(text, split_special_tokens=True)
    assert b"".join(pieces[i] for i in ids) == text.encode("utf8")


def test_every_byte_is_a_piece_and_control_tokens_have_no_bytes(tokenizer, pieces):
    assert pieces.single_bytes == frozenset(range(256))
    assert [pieces[i] for i in tokenizer.all_special_ids] == [b""] * 4
    assert pieces.control == {0: b"<unk>", 1: b"<s>", 2: b"</s>", 3: b"<pad>"}
    assert len(pieces) == len(tokenizer) and pieces[len(pieces)] == b""
    with pytest.raises(InputError, match=r"got -1"):
        pieces[-1]


def test_pieces_that_were_added_are_text(tiny_tokenizer):
    """Also those whose characters stand for bytes in a byte-level vocabulary, such as é."""
    texts = ["two words", "été", "<mask>", "今天吗"]
    added = [AddedToken(text, special=text == "<mask>", normalized=False) for text in texts]
    tiny_tokenizer.backend_tokenizer.add_tokens(added)
    pieces = PieceBytes(tiny_tokenizer)
    for text, piece in zip(texts, tiny_tokenizer.convert_tokens_to_ids(texts), strict=True):
        stream = TextStream(pieces)
        assert stream.add(piece) + stream.finish() == text
        assert pieces[piece] == (b"" if text == "<mask>" else text.encode("utf8"))


@pytest.mark.parametrize("start", [b"", b" ", b" t", b"\xe0\xa4"])
def test_match_finds_what_comparing_every_piece_finds(pieces, start):
    strings = [TEXT.encode("utf8"), b"", b"in spring", b"in"]
    symbols = to_symbols(strings)
    node = 0
    for byte in start:
        node = int(pieces._descend(numpy.array([node]), numpy.array([byte]))[0])
    where, lengths, nodes = pieces.match(symbols, numpy.arange(len(symbols)), node)
    found = {
        (w, n, p) for w, n, last in zip(where, lengths, nodes, strict=True) for p in pieces.at(last[None])
    }
    expected, first = set(), 0
    for string in strings:
        for place in range(len(string) + 1):
            for piece in range(len(pieces)):
                rest = pieces[piece].removeprefix(start)
                if pieces[piece] and pieces[piece].startswith(start) and string[place:].startswith(rest):
                    expected.add((first + place, len(rest), piece))
        first += len(string) + 1
    assert found == expected and len(found) > 50
    assert sorted(pieces.at(nodes)) == sorted({piece for _, _, piece in expected})


def test_a_node_that_does_not_exist_matches_nothing(pieces):
    where, lengths, nodes = pieces.match(to_symbols([b"ab"]), numpy.arange(3), -1)
    assert len(where) == len(lengths) == len(nodes) == len(pieces.at(nodes)) == 0


def test_symbols_end_every_string():
    assert to_symbols([b"a\xff", b"", b"b"]).tolist() == [97, 255, END, END, 98, END]
    assert to_symbols([]).tolist() == []


def test_pieces_with_the_same_bytes_are_all_found(tiny_tokenizer):
    (space,) = tiny_tokenizer.encode(" ")
    tiny_tokenizer.backend_tokenizer.add_tokens([AddedToken(" ", normalized=False)])
    pieces = PieceBytes(tiny_tokenizer)
    again = len(pieces) - 1
    assert pieces[space] == pieces[again] == b" "
    assert sorted(pieces.at(numpy.array([pieces.space]))) == [space, again]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(0, SIZE + 20), max_size=30), st.booleans())
def test_a_stream_gives_the_decoded_text_in_whole_characters(tokenizer, pieces, ids, skip):
    # Random pieces cut characters everywhere, and put together what is no UTF-8.
    stream = TextStream(pieces, skip_special_tokens=skip)
    for _ in range(2):  # a stream that was finished can be used anew
        parts = [stream.add(i) for i in ids] + [stream.finish()]
        assert "".join(parts) == tokenizer.decode(ids, skip_special_tokens=skip)


@settings(deadline=None, max_examples=50)
@given(any_text)
def test_a_stream_never_cuts_a_character(pieces, text):
    singles = {pieces[i]: i for i in range(len(pieces)) if len(pieces[i]) == 1}
    stream = TextStream(pieces)
    parts = [stream.add(singles[bytes([byte])]) for byte in text.encode("utf8")]
    assert [part for part in parts if part] == list(text)
    assert stream.finish() == ""
