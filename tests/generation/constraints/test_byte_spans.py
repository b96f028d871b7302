import copy
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from spacy_bloom import BloomTokenizerFast
from spacy_bloom.errors import InputError
from spacy_bloom.generation.constraints.base import StateMemo
from spacy_bloom.generation.constraints.byte_spans import Choice, VerbatimSpan
from spacy_bloom.generation.piece_bytes import PieceBytes
from spacy_bloom.generation.rows import Row

EOS = 2
DEAD = 8  # ids of the model that are no piece
HARD = "The river été 今天天气很好 القطار किताब e\u0301\u0301 👩🏽\u200d🚀🇫🇷 \u200b\t\n\x00</s> 𐍈 in  spring"
characters = st.one_of(st.sampled_from(HARD), st.characters(exclude_categories=("Cs",)))
texts = st.one_of(
    st.text(characters, max_size=30), st.sampled_from([HARD, "aaaa", "ab" * 5, "é", "今天今天"])
)
labels = st.one_of(
    st.text(characters, min_size=1, max_size=6),
    st.sampled_from(
        ["river", "rivers", "river bank", "今", "今天", "é", "e\u0301", "e", " e", "👩🏽\u200d🚀", "👩"]
    ),
)
choices = st.lists(labels, min_size=1, max_size=6)
seeds = st.integers(0, 2**32 - 1)
quick = settings(deadline=None, max_examples=40)


@pytest.fixture(scope="module")
def pieces(tiny_tokenizer_json):
    return PieceBytes(BloomTokenizerFast(Tokenizer.from_str(tiny_tokenizer_json)))


def scores_of(pieces, seed, n_rows=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n_rows, len(pieces) + DEAD, generator=generator)


def legal_pieces(constraint, generated):
    """The pieces that are left after these, and whether the scores of the others are gone."""
    scores = scores_of(constraint.pieces, 0)
    left = constraint([Row([5, 6], list(generated))], scores.clone())
    kept = torch.isfinite(left[0])
    assert torch.equal(left[0][kept], scores[0][kept])
    assert (left[0][~kept] == -torch.inf).all()
    return set(kept.nonzero()[:, 0].tolist())


def generate(constraint, seed, *, most=200):
    """What a model of random scores generates, until it ends."""
    generated = []
    while len(generated) < most and EOS not in generated:
        scores = scores_of(constraint.pieces, seed + len(generated))
        generated.append(int(constraint([Row([7], generated)], scores)[0].argmax()))
    return generated


def begin(constraint, generated):
    """The bytes of the text so far."""
    return b"".join(constraint.pieces[piece] for piece in generated)


def spans_of(text, tokens=None):
    """By definition: all that is a span of the text."""
    if tokens is None:
        return {text[i:j] for i in range(len(text)) for j in range(i + 1, len(text) + 1)}
    return {text[i:j] for i, _ in tokens for _, j in tokens if i < j}


def check_every_step(constraint, legal, generated):
    """At each step exactly the pieces are left that some legal text goes on with, and the end of a legal text;
    and stopping there gives that text or none.
    """
    space = " " if constraint.leading_space else ""
    spelled = {(space + text).encode("utf8"): text for text in legal}
    beginnings = {text[:end] for text in spelled for end in range(len(text) + 1)}
    for step in range(len(generated)):
        so_far = begin(constraint, generated[:step])
        expected = {
            i
            for i in range(len(constraint.pieces))
            if constraint.pieces[i] and so_far + constraint.pieces[i] in beginnings
        }
        assert legal_pieces(constraint, generated[:step]) == expected | (
            {EOS} if so_far in spelled else set()
        )
        assert constraint.text_of(generated[:step]) == spelled.get(so_far)


@quick
@given(choices, st.booleans(), seeds)
def test_choice_leaves_what_some_string_goes_on_with(pieces, strings, leading_space, seed):
    constraint = Choice(strings, pieces, EOS, leading_space=leading_space)
    generated = generate(constraint, seed)
    assert generated[-1] == EOS
    assert constraint.text_of(generated) in strings
    check_every_step(constraint, strings, generated)


@quick
@given(texts, st.booleans(), seeds)
def test_verbatim_span_leaves_what_the_text_goes_on_with(pieces, text, leading_space, seed):
    constraint = VerbatimSpan(text, pieces, EOS, leading_space=leading_space)
    generated = generate(constraint, seed)
    assert generated[-1] == EOS
    if not text:
        assert generated == [EOS]
        assert constraint.text_of(generated) is None and constraint.occurrences(generated) == []
        return
    span = constraint.text_of(generated)
    assert span
    where = [(i, i + len(span)) for i in range(len(text)) if text.startswith(span, i)]
    assert constraint.occurrences(generated) == where
    check_every_step(constraint, spans_of(text), generated)


@quick
@given(
    st.lists(st.tuples(st.text(characters, max_size=4), st.sampled_from(["", " ", "  "])), max_size=8), seeds
)
def test_spans_of_tokens_begin_and_end_with_tokens(pieces, words, seed):
    text, tokens = "", []
    for word, space in words:
        tokens.append((len(text), len(text) + len(word)))
        text += word + space
    constraint = VerbatimSpan(text, pieces, EOS, tokens=tokens)
    generated = generate(constraint, seed)
    assert generated[-1] == EOS
    starts = {i for i, j in tokens if i < j}
    ends = {j for i, j in tokens if i < j}
    if not starts:
        assert generated == [EOS] and constraint.occurrences(generated) == []
        return
    span = constraint.text_of(generated)
    where = [
        (i, i + len(span))
        for i in range(len(text))
        if text.startswith(span, i) and i in starts and i + len(span) in ends
    ]
    assert where and constraint.occurrences(generated) == where
    check_every_step(constraint, spans_of(text, [(i, j) for i, j in tokens if i < j]), generated)


@quick
@given(texts.filter(bool), seeds)
def test_any_pieces_that_spell_a_span_are_legal(pieces, text, seed):
    draw = random.Random(seed)
    start = draw.randrange(len(text))
    end = draw.randrange(start, len(text)) + 1
    rest, generated = text[start:end].encode("utf8"), []
    constraint = VerbatimSpan(text, pieces, EOS)
    while rest:
        fitting = [i for i in range(len(pieces)) if pieces[i] and rest.startswith(pieces[i])]
        piece = draw.choice(fitting)
        assert piece in legal_pieces(constraint, generated)
        generated.append(piece)
        rest = rest.removeprefix(pieces[piece])
    assert EOS in legal_pieces(constraint, generated)
    assert (start, end) in constraint.occurrences([*generated, EOS, 3, 3])  # what follows the end is padding


def fewest_pieces(pieces, text):
    """The length of the shortest spelling of some bytes."""
    best = [0] + [len(text) + 1] * len(text)
    for end in range(1, len(text) + 1):
        for piece in range(len(pieces)):
            n = len(pieces[piece])
            if n and text[:end].endswith(pieces[piece]):
                best[end] = min(best[end], best[end - n] + 1)
    return best[-1]


@settings(deadline=None, max_examples=20)
@given(choices, st.booleans(), seeds)
def test_choice_is_complete_within_its_budget(pieces, strings, leading_space, seed):
    needed = [fewest_pieces(pieces, ((" " if leading_space else "") + s).encode("utf8")) for s in strings]
    budget = random.Random(seed).randint(min(needed), max(needed) + 1)
    constraint = Choice(strings, pieces, EOS, leading_space=leading_space, max_new_tokens=budget)
    generated = generate(constraint, seed, most=budget)
    fitting = [s for s, n in zip(strings, needed, strict=True) if n <= budget]
    assert constraint.text_of(generated) in fitting
    if min(needed) > 1:
        with pytest.raises(InputError, match=f"to be {min(needed)} or more"):
            Choice(strings, pieces, EOS, leading_space=leading_space, max_new_tokens=min(needed) - 1)


@settings(deadline=None, max_examples=20)
@given(texts.filter(bool), seeds)
def test_a_span_is_complete_within_its_budget(pieces, text, seed):
    constraint = VerbatimSpan(text, pieces, EOS, max_new_tokens=4)  # as many bytes as a character can have
    generated = generate(constraint, seed, most=4)
    assert constraint.text_of(generated) in spans_of(text)


def test_a_row_longer_than_its_budget_still_goes_on(pieces):
    constraint = Choice(["river"], pieces, EOS, max_new_tokens=1 + fewest_pieces(pieces, b"river"))
    letters = {pieces[i]: i for i in range(len(pieces)) if len(pieces[i]) == 1}
    generated = [letters[b"r"], letters[b"i"], letters[b"v"], letters[b"e"]]
    assert legal_pieces(constraint, generated) == {letters[b"r"]}


def test_rows_are_known_by_their_pieces_only(pieces):
    text = "in spring the river was high in spring"
    constraint = VerbatimSpan(text, pieces, EOS)
    rows = [Row([1], generate(VerbatimSpan(text, pieces, EOS), seed)[:-1]) for seed in range(8)]
    rows += [Row([9], row.generated[:1]) for row in rows] + [Row([4, 4], [])]
    scores = scores_of(pieces, 3, len(rows))
    together = constraint(rows, scores.clone())
    for order in (range(len(rows) - 1, -1, -1), [3, 3, 0, 16, 11]):
        again = constraint([rows[i] for i in order], scores[list(order)].clone())
        assert torch.equal(again, together[list(order)])
    for i, row in enumerate(rows):
        alone = VerbatimSpan(text, pieces, EOS)([row], scores[i : i + 1].clone())
        assert torch.equal(alone[0], together[i])
    assert constraint([], scores[:0]).shape == (0, scores.shape[1])


def test_a_row_that_broke_the_constraint_can_only_end(pieces):
    constraint = Choice(["river"], pieces, EOS)
    wrong = next(i for i in range(len(pieces)) if pieces[i] == b"x")
    for generated in ([wrong], [3], [len(pieces) + 2], [wrong, wrong], [EOS], [wrong, EOS, 3]):
        assert legal_pieces(constraint, generated) == {EOS}
        assert constraint.text_of(generated) is None


def test_a_constraint_outranks_what_forbids_all_that_is_legal(pieces):
    constraint = Choice(["river", "in"], pieces, EOS)
    legal = sorted(legal_pieces(constraint, []))
    scores = torch.zeros(2, len(pieces) + DEAD)
    scores[0, legal] = -torch.inf
    left = constraint([Row([1]), Row([1])], scores)
    assert torch.allclose(left[0].exp()[legal], torch.full((len(legal),), 1 / len(legal)))
    assert (left[1][legal] == 0).all()
    for row in left:
        assert torch.isfinite(row).nonzero()[:, 0].tolist() == legal


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_the_memo_forgets_but_stays_right(size):
    steps = []

    def advance(state, piece):
        steps.append(piece)
        return None if piece == 13 else (*state, piece)

    memo = StateMemo((), advance, size=size)
    rows = [(1, 2, 3), (1, 2), (1, 2, 3, 4), (), (13,), (13, 1), (5, 13, 5), (1, 2, 3, 4), (5,)]
    for pieces in rows * 2:
        assert memo(pieces) == (None if 13 in pieces else pieces)
        assert len(memo._states) <= size
    steps.clear()
    memo([7, 8])
    assert memo([7, 8, 9]) == (7, 8, 9)
    assert steps == [7, 8, 9]  # the state before was known


def test_the_memo_keeps_the_states_used_last():
    steps = []
    memo = StateMemo((), lambda state, piece: steps.append(piece) or (*state, piece), size=2)
    for piece in (1, 2, 1, 3, 1):
        assert memo([piece]) == (piece,)
    assert steps == [1, 2, 3]


def test_the_memo_grows_with_the_rows(pieces):
    constraint = Choice(["aaaaaaaa"], pieces, EOS)
    constraint._states.size = 1
    constraint([Row([1])] * 20, scores_of(pieces, 0, 20))
    assert constraint._states.size == 40


def test_what_is_not_possible_is_an_error(pieces):
    with pytest.raises(InputError, match="several strings"):
        Choice("river", pieces, EOS)
    with pytest.raises(InputError, match="got 0 strings"):
        Choice([], pieces, EOS)
    with pytest.raises(InputError, match="with an empty one"):
        Choice(["a", ""], pieces, EOS)
    with pytest.raises(InputError, match="surrogate at 1"):
        VerbatimSpan("a\ud800", pieces, EOS)
    with pytest.raises(InputError, match="control token"):
        Choice(["a"], pieces, 20)
    for token in [(0, 4), (-1, 2), (2, 1)]:
        with pytest.raises(InputError, match="0 <= start <= end <= 3"):
            VerbatimSpan("abc", pieces, EOS, tokens=[(0, 1), token])
    with pytest.raises(InputError, match="Got scores for 5 pieces"):
        Choice(["a"], pieces, EOS)([Row([1])], torch.zeros(1, 5))


def test_a_vocabulary_without_all_bytes_is_refused(pieces):
    without = copy.copy(pieces)
    without.single_bytes = pieces.single_bytes - {ord("q")}
    with pytest.raises(InputError, match=r"bytes \[113\]"):
        Choice(["quay"], without, EOS)
    assert Choice(["bay"], without, EOS)


def test_control_tokens_in_a_text_are_characters(pieces):
    constraint = VerbatimSpan("</s>", pieces, EOS)
    assert EOS not in legal_pieces(constraint, [])
    letters = {pieces[i]: i for i in range(len(pieces)) if len(pieces[i]) == 1}
    generated = [letters[bytes([byte])] for byte in b"</s>"]
    assert legal_pieces(constraint, generated) == {EOS}
    assert constraint.text_of([*generated, EOS]) == "</s>"
