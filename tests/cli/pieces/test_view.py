"""Every piece of every text is shown, with the tokens that it belongs to."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers.normalizers import Replace

from spacy_bloom import BloomTokenizerFast
from spacy_bloom.cli.pieces.view import cut_texts, readable, table_rows, window_lines
from spacy_bloom.thinc_layers.pieces.windows import WindowSettings

SCRIPTS = ["Ana ", "é", "e\u0301", "工作", "张", "नमस्ते ", "قطار", "ད་", "🙂", "\u200d"]
SNIPPETS = [*SCRIPTS, "  ", "\n", "\t", "</s>", "\x1b[31m"]
TEXTS = st.lists(st.sampled_from(SNIPPETS) | st.text(max_size=6), max_size=12).map("".join)


@settings(max_examples=150, deadline=None)
@given(text=TEXTS)
def test_the_pieces_of_all_tokens_cover_the_text(cut, text):
    found = cut(text, window=7, context=2)
    shown, covered = [], set()
    for token, pieces in found.rows():
        assert len(pieces) > 0
        shown += [piece for piece in pieces if piece not in covered]
        covered.update(pieces)
        if token is not None:
            # A token's pieces hold all of its bytes, and each says that it is the token's.
            assert found.doc[token].text.encode() in b"".join(found.spelled[piece] for piece in pieces)
            assert all(token in found.sharers(piece) for piece in pieces)
        else:
            assert not any(found.sharers(piece) for piece in pieces)
    assert shown == list(range(len(found)))
    assert b"".join(found.spelled[piece] for piece in shown).decode("utf8") == text
    rows = table_rows(found)
    assert [row[2] for row in rows] == [
        " | ".join(readable(found.spelled[piece]) for piece in pieces) for _, pieces in found.rows()
    ]
    assert all(cell.isprintable() for row in rows for cell in row)
    new = [piece for window in found.windows for piece in range(window.keep, window.end)]
    assert new == list(range(len(found))) and len(window_lines(found)) == len(found.windows)


@given(spelled=st.binary(max_size=12))
def test_bytes_are_readable(spelled):
    assert readable(spelled).isprintable()


@pytest.mark.parametrize(
    ("spelled", "expected"),
    [
        (" café\n".encode(), "␣café↵"),
        (b"a\xe2\x82", "a\\xe2\\x82"),
        (b"\x1b[31m\t", "\\x1b[31m⇥"),
        ("\u202e\u200b".encode(), "\\u202e\\u200b"),
    ],
)
def test_what_does_not_print_is_visible(spelled, expected):
    assert readable(spelled) == expected


def test_notes(cut):
    rows = {row[1]: row[2:] for row in table_rows(cut("工作 张"))}
    assert rows["工"] == ("工作", "shares 工作 with 1") and rows["作"] == ("工作", "shares 工作 with 0")
    assert rows["张"][1] == "parts of characters" and "\\x" in rows["张"][0]
    assert ("", "", "␣", "between tokens") in table_rows(cut("a  \n b 🙂"))


def test_a_token_that_the_pieces_leave_out(multilingual):
    """As with a tokenizer that normalizes: the token takes the nearest piece, and it is said."""
    tokenizer = BloomTokenizerFast.from_pretrained("tiny-bloom")
    tokenizer.backend_tokenizer.normalizer = Replace("q", "")
    found = cut_texts(tokenizer, [multilingual("Ana q b")], WindowSettings(9, 2))[0]
    assert [found.has_own_pieces(token) for token in range(3)] == [True, False, True]
    notes = {row[1]: row[3] for row in table_rows(found)}
    assert notes["q"].startswith("no piece of its own") and notes["Ana"] == ""


def test_windows(cut):
    text = "Ana b c d e f g h"
    found = cut(text, window=4, context=1)
    lines = window_lines(found)
    assert len(lines) > 2 and lines[0] == f"window 1: pieces 0 to 3; new from {text.replace(' ', '␣')}"
    assert lines[1].startswith("window 2: pieces 3 to 6, 1 of them context; new from ")
    assert text.replace(" ", "␣").endswith(lines[1].partition("new from ")[2])


def test_json(cut):
    found = cut("工作 张", window=2, context=1).to_json()
    assert [token["pieces"] for token in found["tokens"][:2]] == [[0], [0]]
    assert bytes.fromhex("".join(piece["bytes"] for piece in found["pieces"])).decode() == "工作 张"
    assert found["pieces"][0]["shown"] == "工作" and found["pieces"][0]["end"] == 2
    assert found["windows"][1] == {"start": 1, "end": 3, "new_from": 2, "new_to": 3}


def test_a_text_without_tokens(cut):
    found = cut("")
    assert len(found) == 0 and table_rows(found) == [] and window_lines(found) == []
