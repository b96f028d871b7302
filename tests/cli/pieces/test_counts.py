"""Counts of a corpus are those of its texts, and what needs attention is said."""

from collections import Counter

import pytest

from spacy_bloom.cli.pieces.counts import Counts, PieceCounter, find_warnings, percentile, script_of
from spacy_bloom.thinc_layers.pieces.windows import WindowSettings

TEXTS = {
    "en": ["The river was high in spring.", "", "nobody crossed it  before May " * 3],
    "bo": ["བོད་ཀྱི་སྐད་ཡིག" * 4, " \n "],
    "zh": ["他的工作，张教授"],
}


@pytest.fixture
def counter(multilingual, tiny_bloom):
    return PieceCounter(multilingual, tiny_bloom, WindowSettings(20, 5))


def test_counts_are_those_of_the_texts(counter, cut):
    counter.count((group, text) for group, texts in TEXTS.items() for text in texts)
    assert list(counter.groups) == list(TEXTS)
    for group, texts in TEXTS.items():
        found = [cut(text, window=20, context=5) for text in texts]
        counts, summary = counter.groups[group], counter.groups[group].summary()
        spelled = [piece for text in found for piece in text.spelled]
        in_bytes = [piece for piece in spelled if len(piece) == 1 and piece >= b"\x80"]
        pieces_of_tokens = sorted(len(pieces) for text in found for pieces in text.of_token)
        assert counts.texts == len(texts) and counts.characters == len("".join(texts))
        assert counts.n_bytes == sum(map(len, spelled)) == len("".join(texts).encode())
        assert counts.tokens == len(pieces_of_tokens) and counts.pieces == len(spelled)
        assert counts.byte_pieces == len(in_bytes) and counts.changed == 0
        assert counts.windows == sum(len(text.windows) for text in found)
        assert counts.long_texts == sum(len(text.windows) > 1 for text in found)
        assert summary["bytes_per_piece"] == pytest.approx(counts.n_bytes / len(spelled), abs=1e-4)
        mean = sum(pieces_of_tokens) / len(pieces_of_tokens)
        assert summary["pieces_per_token"] == pytest.approx(mean, abs=1e-4)
        assert summary["pieces_per_text_max"] == max(map(len, found))
    assert counter.groups["en"].empty == 1 and counter.groups["bo"].empty == 1
    assert counter.groups["bo"].fallen["TIBETAN"] == 60 == counter.groups["bo"].scripts["TIBETAN"]
    assert counter.groups["en"].fallen == {}
    total = sum(counter.groups.values(), start=Counts())
    assert total.pieces == sum(counts.pieces for counts in counter.groups.values())
    assert total.scripts["TIBETAN"] == 60


def test_a_character_cut_into_several_pieces_counts_once(counter):
    counter.count([("x", "\U0001f642" * 3)])
    counts = counter.groups["x"]
    assert counts.fallen["SLIGHTLY"] == 3 and counts.byte_pieces == 12


def test_nothing_grows_with_the_stream(counter, multilingual):
    counter.count([("x", "warm up")])
    known = len(multilingual.vocab.strings), len(list(multilingual.vocab))
    counter.count(("x", f"word{i} other{i}") for i in range(500))
    assert (len(multilingual.vocab.strings), len(list(multilingual.vocab))) == known
    assert counter.groups["x"].texts == 501


def test_percentiles():
    values = Counter({1: 90, 2: 5, 40: 5})
    assert [percentile(values, share) for share in (0.0, 0.5, 0.9, 0.95, 0.96, 1.0)] == [1, 1, 1, 2, 40, 40]
    assert percentile(Counter(), 0.5) is None


def test_a_group_without_pieces():
    summary = Counts().summary()
    assert (
        summary["texts"] == 0
        and summary["bytes_per_piece"] is None
        and summary["pieces_per_text_max"] is None
    )
    assert list(find_warnings("x", Counts(), 512)) == []


def test_warnings(counter):
    counter.count((group, text) for group, texts in TEXTS.items() for text in texts)
    by_group = {group: list(find_warnings(group, counts, 20)) for group, counts in counter.groups.items()}
    assert by_group["zh"] == []  # too few characters to judge their script
    assert [line.split(". ")[0] for line in by_group["en"]] == [
        "en: 1 of 3 texts are empty or white space",
        f"en: 1 of 3 texts are longer than a window of 20 pieces, {counter.groups['en'].windows} windows in all",
    ]
    assert any("100% of 60 TIBETAN characters are cut into bytes" in line for line in by_group["bo"])


def test_a_tokenizer_that_changes_the_text(multilingual, tiny_bloom):
    prefixed = type(tiny_bloom).from_pretrained("tiny-bloom", add_prefix_space=True)
    counter = PieceCounter(multilingual, prefixed, WindowSettings(20, 5))
    counter.count([("x", "Ana"), ("x", " Ana")])
    assert counter.groups["x"].changed == 1
    assert "do not spell" in next(find_warnings("x", counter.groups["x"], 20))


@pytest.mark.parametrize(
    ("character", "script"),
    [("a", "LATIN"), ("中", "CJK"), ("म", "DEVANAGARI"), ("\n", "UNNAMED"), ("ا", "ARABIC")],
)
def test_scripts(character, script):
    assert script_of(character) == script
