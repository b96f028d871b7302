import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.generation import logits_process as theirs

from spacy_bloom.generation.processors.repetition import BadWords, NoRepeatNGram, RepetitionPenalty
from spacy_bloom.generation.rows import Row

V = 40
INF = float("inf")


def is_changed(got, scores):
    return not torch.equal(got, scores)


@pytest.mark.parametrize("penalty", [0.5, 1.3, 2])
@pytest.mark.parametrize("added", [0, 5])
def test_repetition_penalty(draw_scores, draw_rows, both, penalty, added):
    reference = theirs.RepetitionPenaltyLogitsProcessor(float(penalty))
    processor = RepetitionPenalty(penalty)
    for seed in range(5):
        scores = draw_scores(seed=seed, forbidden=0.2)
        got = both(processor, reference, draw_rows(added=added, seed=seed), scores)
        assert is_changed(got, scores)


@settings(max_examples=100, deadline=None)
@given(st.data(), st.integers(1, 5), st.integers(1, 12), st.integers(0, 12))
def test_no_repeated_ngram(draw_scores, draw_rows, both, data, size, prompt, added):
    seed = data.draw(st.integers(0, 10**6))
    rows = draw_rows(prompt=prompt, added=added, seed=seed, vocabulary=data.draw(st.integers(1, 4)))
    both(NoRepeatNGram(size), theirs.NoRepeatNGramLogitsProcessor(size), rows, draw_scores(seed=seed))


def test_no_ngram_is_repeated_in_a_run():
    processor, row = NoRepeatNGram(2), Row([0, 1, 0])
    scores = torch.tensor([[3.0, 2.0, 1.0]])
    while (left := processor([row], scores.clone())).max() > -INF:
        row.generated.append(int(left.argmax()))
    # The best that has not followed yet, until all three have followed the last piece.
    assert row.pieces == [0, 1, 0, 0, 2, 0]


WORDS = [[3], [0, 1], [1, 1], [2, 0, 1], [7], [1, 0, 2, 1], [5, 6], [3], [2]]


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 10**6), st.integers(4, 9), st.integers(0, 6), st.lists(st.sampled_from(WORDS), min_size=1)
)
def test_bad_words(draw_scores, draw_rows, both, seed, prompt, added, words):
    rows = draw_rows(prompt=prompt, added=added, seed=seed, vocabulary=3)
    eos = [2, 9]
    if all(word == [2] for word in words):
        words = [*words, [4]]  # Hugging Face wants a word that is not the end
    reference = theirs.NoBadWordsLogitsProcessor(words, eos)
    both(BadWords(words, eos), reference, rows, draw_scores(seed=seed))


def test_a_bad_word_is_not_completed_by_a_short_row_either(input_ids):
    rows, scores = [Row([5])], torch.zeros(1, 8)
    got = BadWords([[5, 6]])(rows, scores.clone())
    assert got.isneginf().nonzero().tolist() == [[0, 6]]
    reference = theirs.NoBadWordsLogitsProcessor([[5, 6]])
    assert torch.equal(reference(input_ids(rows), scores), scores)  # where they differ, and why it is said


def test_an_end_as_bad_word_stays_allowed():
    assert torch.equal(BadWords([[2]], [2])([Row([5])], torch.zeros(1, 8)), torch.zeros(1, 8))


@pytest.mark.parametrize("penalty", [True, False])
def test_rows_are_known_by_their_pieces_only(draw_scores, penalty):
    """Rows of different lengths, dropped, reordered, copied: each gets what it gets alone."""
    make = (lambda: RepetitionPenalty(1.7)) if penalty else (lambda: NoRepeatNGram(2))
    shared = [1, 2, 1, 3, 1]
    rows = [Row(shared, [2, 1]), Row([4, 4]), Row(shared), Row([2], [2, 3, 2]), Row((1, 2, 1, 3, 1), [3, 1])]
    scores = draw_scores(len(rows), 6)
    alone = [make()([row], scores[i : i + 1].clone())[0] for i, row in enumerate(rows)]
    processor = make()
    for order in ([0, 1, 2, 3, 4], [4, 2, 0], [3, 3, 1], [2]):
        given_ = [copy.deepcopy(rows[i]) if i % 2 else rows[i] for i in order]
        got = processor(given_, scores[order].clone())
        assert torch.equal(got, torch.stack([alone[i] for i in order]))


def test_a_prompt_is_read_once():
    class Prompt(list):
        reads = 0

        def __iter__(self):
            type(self).reads += 1
            return super().__iter__()

    prompt, processor = Prompt([1, 2, 3, 1, 2]), NoRepeatNGram(3)
    rows = [Row(prompt), Row(prompt, [3])]
    for _ in range(5):
        got = processor(rows, torch.zeros(2, 5))
        for row in rows:
            row.generated.append(4)
    assert Prompt.reads == 1 and got.shape == (2, 5)
