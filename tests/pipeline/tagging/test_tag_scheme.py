from itertools import product

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_bloom.pipeline.tagging.tag_scheme import TagScheme, parse_tag, span_tags

SCHEMES = {
    "BIO": ["O", "B-X", "I-X", "B-Y", "I-Y"],
    "BILUO": ["O", "B-X", "I-X", "L-X", "U-X"],
    "BIOES": ["O", "B-X", "I-X", "E-X", "S-X"],
    "IO": ["O", "X", "Y"],
    "IO with prefixes": ["O", "I-X", "I-Y"],
    "IOB1": ["O", "I-X", "B-X", "I-Y"],
    "mixed": ["B-X", "O", "I-X", "Y", "S-Z"],
    "no outside": ["B-X", "I-X"],
}


def legal(tags, scheme, blank=None):
    """By the rules of the schemes, read off a sequence from left to right."""
    blank = [False] * len(tags) if blank is None or "O" not in scheme else blank
    starting = {t[2:] for t in scheme if t[:2] in ("B-", "U-", "S-")}
    closing = {t[2:] for t in scheme if t[:2] in ("L-", "E-")}
    open_label = None  # of the span that the last token belongs to and that may go on
    must_go_on = False
    for i, tag in enumerate(tags):
        prefix, label = ("", "") if tag == "O" else (tag[0], tag[2:]) if tag[1:2] == "-" else ("I", tag)
        goes_on = prefix in ("I", "L", "E") and open_label == label
        ends_before = open_label is not None and not goes_on
        if (must_go_on and not goes_on) or (ends_before and blank[i - 1]):
            return False
        if blank[i] and not (tag == "O" or (goes_on and prefix == "I")):
            return False
        if prefix in ("I", "L", "E") and not goes_on and label in starting:
            return False
        open_label = label if prefix in ("B", "I") else None
        must_go_on = open_label is not None and label in closing
    return not must_go_on and not (open_label is not None and blank[-1])


@pytest.mark.parametrize("name", SCHEMES)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_viterbi_finds_the_best_of_all_legal_sequences(name, data):
    tags = SCHEMES[name]
    length = data.draw(st.integers(1, 4))
    values = st.lists(st.floats(-20, 0, width=32), min_size=length * len(tags), max_size=length * len(tags))
    scores = numpy.array(data.draw(values), dtype="float32").reshape(length, len(tags))
    blank = data.draw(st.lists(st.booleans(), min_size=length, max_size=length))
    found = TagScheme(tags).decode(scores, numpy.array(blank))
    candidates = [
        c for c in product(range(len(tags)), repeat=length) if legal([tags[i] for i in c], tags, blank)
    ]
    assert tuple(found) in candidates
    total = {c: sum(float(scores[i, tag]) for i, tag in enumerate(c)) for c in candidates}
    assert total[tuple(found)] == pytest.approx(max(total.values()), abs=1e-3)


@pytest.mark.parametrize("name", SCHEMES)
def test_what_is_legal(name):
    """The scheme's own tables against the rules, for every sequence of three."""
    tags = SCHEMES[name]
    scheme = TagScheme(tags)
    for sequence in product(range(len(tags)), repeat=3):
        for blank in product((0, 1), repeat=3) if "O" in tags else [(0, 0, 0)]:
            found = scheme.is_legal(numpy.array(sequence), numpy.array(blank, dtype=bool))
            assert found == legal([tags[i] for i in sequence], tags, blank), (sequence, blank)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4, 1e30])
@pytest.mark.parametrize("name", ["BIO", "BILUO", "IO"])
def test_long_sequences_of_any_scores_are_legal(name, scale):
    tags = SCHEMES[name]
    scores = -scale * numpy.random.default_rng(0).random((500, len(tags)), dtype="float32")
    assert legal([tags[i] for i in TagScheme(tags).decode(scores)], tags)


@pytest.mark.parametrize(
    "blank, expected",
    [
        ([1, 0, 0, 0], [(1, 3, "X")]),  # not the first
        ([0, 0, 1, 0], [(0, 2, "X")]),  # nor the last
        ([0, 1, 0, 0], [(0, 3, "X")]),  # but one in the middle
        ([1, 1, 1, 1], []),
        ([0, 1, 1, 1], [(0, 1, "X")]),
    ],
)
@pytest.mark.parametrize("name", ["BIO", "BILUO", "BIOES", "IO"])
def test_spans_do_not_begin_or_end_with_blanks(name, blank, expected):
    scheme = TagScheme(SCHEMES[name])
    worth = {("B", "X"): -2.0, ("I", "X"): -1.0, ("L", "X"): -1.0, ("U", "X"): -4.0}
    like_a_span = [worth.get(tag, -9.0) for tag in scheme.parsed]
    outside = [-1.0 if tag == "O" else -9.0 for tag in scheme.tags]
    scores = numpy.array([like_a_span] * 3 + [outside], dtype="float32")
    assert scheme.spans(scheme.decode(scores)) == [(0, 3, "X")]
    assert scheme.spans(scheme.decode(scores, numpy.array(blank, dtype=bool))) == expected


@pytest.mark.parametrize(
    "name, sequence, expected",
    [
        ("BIO", "O B-X I-X O B-Y", [(1, 3, "X"), (4, 5, "Y")]),
        ("BIO", "B-X B-X I-X B-Y I-Y", [(0, 1, "X"), (1, 3, "X"), (3, 5, "Y")]),
        ("BILUO", "B-X I-X L-X U-X U-X O", [(0, 3, "X"), (3, 4, "X"), (4, 5, "X")]),
        ("BIOES", "B-X E-X S-X O B-X E-X", [(0, 2, "X"), (2, 3, "X"), (4, 6, "X")]),
        ("IO", "X X O X Y Y", [(0, 2, "X"), (3, 4, "X"), (4, 6, "Y")]),
        ("IO with prefixes", "I-X I-X I-Y O I-Y", [(0, 2, "X"), (2, 3, "Y"), (4, 5, "Y")]),
        ("BIO", "O O", []),
        ("BIO", "", []),
    ],
)
def test_spans(name, sequence, expected):
    tags = SCHEMES[name]
    assert TagScheme(tags).spans([tags.index(tag) for tag in sequence.split()]) == expected


@given(data=st.data(), name=st.sampled_from(sorted(SCHEMES)))
def test_spans_cover_what_is_not_outside(name, data):
    tags = SCHEMES[name]
    sequence = data.draw(
        st.lists(st.sampled_from(range(len(tags))), max_size=8).filter(
            lambda s: legal([tags[i] for i in s], tags)
        )
    )
    spans = TagScheme(tags).spans(sequence)
    covered = [i for start, end, _ in spans for i in range(start, end)]
    assert covered == [i for i, tag in enumerate(sequence) if tags[tag] != "O"]
    for start, end, label in spans:
        assert {parse_tag(tags[sequence[i]])[1] for i in range(start, end)} == {label}


@pytest.mark.parametrize(
    "tag, parsed",
    [
        ("O", ("O", "")),
        ("B-PER", ("B", "PER")),
        ("E-PER", ("L", "PER")),
        ("S-PER", ("U", "PER")),
        ("B-X-Y", ("B", "X-Y")),
        ("PER", ("I", "PER")),
        ("B-", ("I", "B-")),
        ("X-PER", ("I", "X-PER")),
        ("地点", ("I", "地点")),
    ],
)
def test_parsing(tag, parsed):
    assert parse_tag(tag) == parsed


def test_span_tags():
    assert span_tags(["X", "Y-Z"]) == ["B-X", "I-X", "B-Y-Z", "I-Y-Z"]


def test_no_tokens():
    assert TagScheme(["O", "B-X", "I-X"]).decode(numpy.zeros((0, 3), dtype="float32")).tolist() == []
