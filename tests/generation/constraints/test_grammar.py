import json
import random
import re
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from spacy_bloom import BloomTokenizerFast
from spacy_bloom.errors import BloomWarning, InputError
from spacy_bloom.generation.constraints.grammar import MAX_CHARACTERS, Grammar
from spacy_bloom.generation.piece_bytes import PieceBytes
from spacy_bloom.generation.rows import Row

EOS = 2
DEAD = 8  # ids of the model that are no piece
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 6},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "kinds": {"type": "array", "items": {"enum": ["été", "今天", 'a"b\\']}, "maxItems": 2},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}
# Expressions, and a text that each matches: all that a line of a grammar could trip over is among them.
REGEXES = {
    r"river|rivulet": "rivulet",
    r"[0-9]{2,4}-(été|今天)": "3210-今天",
    r"[^/]{1,3}/\n#[ \t]?": "é今/\n#\t",
    "a/b\\/\n'\"": "a/b/\n'\"",
    r"(?i)Straße": "sTRAßE",
    r"👩🏽\u200d🚀?".replace(r"\u200d", "\u200d"): "👩🏽\u200d🚀",
    r".{0,5}": "é👩ब",
    r"": "",
}
# Rust counts the marks of Indic scripts among the characters of words, Python does not.
BY_RUST_ONLY = {r"\w+ \d{2}": "किताब १२"}
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def pieces(tiny_tokenizer_json):
    return PieceBytes(BloomTokenizerFast(Tokenizer.from_str(tiny_tokenizer_json)))


def legal_pieces(constraint, generated):
    scores = torch.zeros(1, len(constraint.pieces) + DEAD)
    left = constraint([Row([5, 6], list(generated))], scores)
    return set(torch.isfinite(left[0]).nonzero()[:, 0].tolist())


def generate(constraint, seed, *, most=400):
    """What a model of random scores generates; it ends as soon as it can after some pieces."""
    generator = torch.Generator().manual_seed(seed)
    generated = []
    while len(generated) < most and EOS not in generated:
        scores = torch.randn(1, len(constraint.pieces) + DEAD, generator=generator)
        scores[0, EOS] += len(generated) / 4
        left = constraint([Row([7], generated)], scores)[0]
        generated.append(int(left.argmax()))
        assert left[generated[-1]] > -torch.inf
    return generated


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(sorted(REGEXES)), st.booleans(), seeds)
def test_what_is_generated_matches_the_expression(pieces, regex, leading_space, seed):
    constraint = Grammar.from_regex(regex, pieces, EOS, leading_space=leading_space)
    generated = generate(constraint, seed)
    assert generated[-1] == EOS
    assert re.fullmatch(regex, constraint.text_of(generated))
    for step in range(len(generated)):  # stopped before
        text = constraint.text_of(generated[:step])
        assert text is None or re.fullmatch(regex, text)


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(sorted(REGEXES | BY_RUST_ONLY)), st.booleans(), seeds)
def test_any_pieces_that_spell_a_match_are_legal(pieces, regex, leading_space, seed):
    draw = random.Random(seed)
    constraint = Grammar.from_regex(regex, pieces, EOS, leading_space=leading_space)
    text = (REGEXES | BY_RUST_ONLY)[regex]
    rest, generated = ((" " if leading_space else "") + text).encode("utf8"), []
    while rest:
        fitting = {i for i in range(len(pieces)) if pieces[i] and rest.startswith(pieces[i])}
        assert fitting <= legal_pieces(constraint, generated)
        generated.append(draw.choice(sorted(fitting)))
        rest = rest.removeprefix(pieces[generated[-1]])
    assert EOS in legal_pieces(constraint, generated)
    assert constraint.text_of(generated) == text


@settings(deadline=None, max_examples=20)
@given(st.booleans(), seeds)
def test_what_is_generated_is_json_of_the_schema(pieces, leading_space, seed):
    constraint = Grammar.from_json_schema(SCHEMA, pieces, EOS, leading_space=leading_space)
    generated = generate(constraint, seed)
    assert generated[-1] == EOS
    text = constraint.text_of(generated)
    value = json.loads(text)
    assert list(value) == [key for key in SCHEMA["properties"] if key in value]
    assert len(value["name"]) <= 6 and 0 <= value["age"] <= 120
    assert {*value.get("kinds", [])} <= {"été", "今天", 'a"b\\'}
    assert all(constraint.text_of(generated[:step]) is None for step in range(len(generated) - 1))


@pytest.mark.parametrize("whitespace", [False, True])
def test_json_is_written_as_json_dumps_writes_it_unless_whitespace_is_free(pieces, whitespace):
    constraint = Grammar.from_json_schema(SCHEMA, pieces, EOS, whitespace=whitespace)
    letters = {pieces[i]: i for i in range(len(pieces)) if len(pieces[i]) == 1}
    value = {"name": "é", "age": 7, "kinds": ["今天", "été"]}
    for indent, legal in [(None, True), (2, whitespace)]:
        text = json.dumps(value, ensure_ascii=False, indent=indent)
        generated = [letters[bytes([byte])] for byte in text.encode("utf8")]
        assert constraint.text_of(generated) == (text if legal else None)


def test_rows_are_known_by_their_pieces_only(pieces):
    constraint = Grammar.from_json_schema(SCHEMA, pieces, EOS)
    generated = generate(constraint, 4)
    rows = [Row([1], generated[:step]) for step in range(len(generated) + 1)]
    rows += [Row([2], generate(constraint, 5)[:3])]
    scores = torch.randn(len(rows), len(pieces) + DEAD, generator=torch.Generator().manual_seed(0))
    together = constraint(rows, scores.clone())
    order = list(reversed(range(len(rows))))
    assert torch.equal(constraint([rows[i] for i in order], scores[order].clone()), together[order])
    for i, row in enumerate(rows):
        alone = Grammar.from_json_schema(SCHEMA, pieces, EOS)([row], scores[i : i + 1].clone())
        assert torch.equal(alone[0], together[i])


def test_a_row_that_broke_the_grammar_can_only_end(pieces):
    constraint = Grammar.from_regex("river", pieces, EOS)
    wrong = next(i for i in range(len(pieces)) if pieces[i] == b"x")
    for generated in ([wrong], [3], [len(pieces) + 2], [wrong, wrong], [EOS], [wrong, EOS, 3]):
        assert legal_pieces(constraint, generated) == {EOS}
        assert constraint.text_of(generated) is None
    assert EOS not in legal_pieces(constraint, [])


def test_a_matcher_that_gave_up_is_warned_of_and_leaves_the_end(pieces):
    constraint = Grammar.from_regex("river", pieces, EOS)
    wrong = next(i for i in range(len(pieces)) if pieces[i] == b"x")
    matcher = constraint._states([]).deep_copy()
    matcher.consume_token(wrong)  # what puts it into the same state as running into its limits
    constraint._states._states[(5,)] = matcher
    with pytest.warns(BloomWarning, match="llguidance gave up"):
        assert legal_pieces(constraint, [5]) == {EOS}
    assert constraint.text_of([5, EOS]) is None


@pytest.mark.parametrize("regex", ["(", "a(?=b)", r"(a)\1", "\\", r"[^\s\S]"])
def test_an_expression_that_cannot_be_followed_is_an_error(pieces, regex):
    with pytest.raises(InputError, match="Expected a grammar"):
        Grammar.from_regex(regex, pieces, EOS)


def test_a_schema_that_cannot_be_followed_is_an_error(pieces):
    for schema in ({"type": "nonsense"}, {"$ref": "http://example.com/x"}, {"uniqueItems": True, **SCHEMA}):
        with pytest.raises(InputError, match="Expected a grammar"):
            Grammar.from_json_schema(schema, pieces, EOS)
    with pytest.raises(InputError, match="as a dict, got str"):
        Grammar.from_json_schema("{}", pieces, EOS)
    with pytest.raises(InputError, match="control token"):
        Grammar.from_regex("a", pieces, 20)


def test_the_extra_is_named_where_llguidance_is_missing(pieces, monkeypatch):
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(ImportError, match=r"spacy-bloom\[constraints\]"):
        Grammar.from_regex("a", pieces, EOS)


@pytest.mark.parametrize("regex", ["a\ud800", "é" * 300 + "(?=x)"], ids=["a surrogate", "a look-ahead"])
def test_expressions_that_cannot_be_handed_on(pieces, regex):
    with pytest.raises(InputError, match="Expected a grammar that llguidance can follow"):
        Grammar.from_regex(regex, pieces, EOS)


def test_a_grammar_that_makes_llguidance_panic(pieces):
    schema = {"type": "string", "format": "é" * 300, "pattern": "(" + "é" * 300}
    with pytest.raises(InputError):
        Grammar.from_json_schema(schema, pieces, EOS)


def test_a_grammar_of_a_megabyte(pieces):
    with pytest.raises(InputError, match=f"expected at most {MAX_CHARACTERS}"):
        Grammar.from_json_schema({"enum": ["x" * MAX_CHARACTERS]}, pieces, EOS)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "multipleOf": 2**31},
        {"type": "integer", "multipleOf": 10**400},
        {"allOf": [{"type": "integer", "multipleOf": 997}, {"multipleOf": 991}]},
    ],
    ids=["one", "one that is no float", "several"],
)
def test_multiples_of_large_numbers(pieces, schema):
    with pytest.raises(InputError, match="Expected multipleOf up to 10000"):
        Grammar.from_json_schema(schema, pieces, EOS)
