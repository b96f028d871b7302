import copy
from types import SimpleNamespace

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.generation import logits_process as theirs

from spacy_bloom.errors import InputError
from spacy_bloom.generation.config import GenerationConfig
from spacy_bloom.generation.processors import repetition as processors
from spacy_bloom.generation.processors import warpers
from spacy_bloom.generation.processors.chain import logits_processors
from spacy_bloom.generation.processors.repetition import (
    AllowedVocabulary,
    BadWords,
    ForcedBos,
    ForcedEos,
    MinLength,
    MinNewTokens,
    NoRepeatNGram,
    RepetitionPenalty,
    SomePieceLeft,
)
from spacy_bloom.generation.processors.warpers import MinP, Temperature, TopK, TopP, Typical
from spacy_bloom.generation.rows import Row

V = 40
INF = float("inf")


def draw_scores(rows=3, vocabulary=V, *, seed=0, forbidden=0.0, scale=3.0):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(rows, vocabulary, generator=generator) * scale
    out = torch.rand(rows, vocabulary, generator=generator) < forbidden
    out[:, seed % vocabulary] = False  # one piece is left
    return scores.masked_fill(out, -INF)


def draw_rows(rows=3, prompt=7, added=4, *, seed=0, vocabulary=V):
    """Rows of equal length, as Hugging Face needs them. Few different pieces, so that they repeat."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(vocabulary, (rows, prompt + added), generator=generator).tolist()
    return [Row(tuple(row[:prompt]), row[prompt:]) for row in ids]


def input_ids(rows):
    return torch.tensor([row.pieces for row in rows])


def both(ours, reference, rows, scores):
    expected = reference(input_ids(rows), scores.clone())
    got = ours(rows, scores.clone())
    assert got.shape == scores.shape and got.dtype == torch.float32
    torch.testing.assert_close(got, expected, rtol=0, atol=0)
    return got


def is_changed(got, scores):
    return not torch.equal(got, scores)


@pytest.mark.parametrize("penalty", [0.5, 1.3, 2])
@pytest.mark.parametrize("added", [0, 5])
def test_repetition_penalty(penalty, added):
    reference = theirs.RepetitionPenaltyLogitsProcessor(float(penalty))
    processor = RepetitionPenalty(penalty)
    for seed in range(5):
        scores = draw_scores(seed=seed, forbidden=0.2)
        got = both(processor, reference, draw_rows(added=added, seed=seed), scores)
        assert is_changed(got, scores)


@settings(max_examples=100, deadline=None)
@given(st.data(), st.integers(1, 5), st.integers(1, 12), st.integers(0, 12))
def test_no_repeated_ngram(data, size, prompt, added):
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
def test_bad_words(seed, prompt, added, words):
    rows = draw_rows(prompt=prompt, added=added, seed=seed, vocabulary=3)
    eos = [2, 9]
    if all(word == [2] for word in words):
        words = [*words, [4]]  # Hugging Face wants a word that is not the end
    reference = theirs.NoBadWordsLogitsProcessor(words, eos)
    both(BadWords(words, eos), reference, rows, draw_scores(seed=seed))


def test_a_bad_word_is_not_completed_by_a_short_row_either():
    rows, scores = [Row([5])], torch.zeros(1, 8)
    got = BadWords([[5, 6]])(rows, scores.clone())
    assert got.isneginf().nonzero().tolist() == [[0, 6]]
    reference = theirs.NoBadWordsLogitsProcessor([[5, 6]])
    assert torch.equal(reference(input_ids(rows), scores), scores)  # where they differ, and why it is said


def test_an_end_as_bad_word_stays_allowed():
    assert torch.equal(BadWords([[2]], [2])([Row([5])], torch.zeros(1, 8)), torch.zeros(1, 8))


@pytest.mark.parametrize("length", [1, 10, 11, 12])
def test_minimum_lengths(length):
    rows, scores = draw_rows(prompt=7, added=4), draw_scores()
    got = both(MinLength(length, [2, 5]), theirs.MinLengthLogitsProcessor(length, [2, 5]), rows, scores)
    assert is_changed(got, scores) == (length == 12)
    new = length - 7
    if new >= 0:
        reference = theirs.MinNewTokensLengthLogitsProcessor(7, new, [2, 5])
        assert torch.equal(both(MinNewTokens(new, [2, 5]), reference, rows, scores), got)


@pytest.mark.parametrize("prompt, added", [(1, 0), (1, 1), (2, 1), (3, 2)])
def test_forced_first_piece_where_hugging_face_forces(prompt, added):
    rows, scores = draw_rows(prompt=prompt, added=added), draw_scores()
    got = both(ForcedBos(6), theirs.ForcedBOSTokenLogitsProcessor(6), rows, scores)
    assert is_changed(got, scores) == ((prompt, added) == (1, 0))


def test_forced_first_piece_after_longer_prompts():
    got = ForcedBos(6)([Row([1, 2, 3]), Row([1, 2], [3])], scores := draw_scores(2))
    assert got[0].isfinite().nonzero().tolist() == [[6]] and got[0, 6] == 0
    assert torch.equal(got[1], draw_scores(2)[1]) and got is scores


@pytest.mark.parametrize("added", [0, 3, 4])
@pytest.mark.parametrize("ids", [[6], [6, 2]])
def test_forced_last_piece(added, ids):
    rows, scores = draw_rows(prompt=3, added=added), draw_scores()
    reference = theirs.ForcedEOSTokenLogitsProcessor(8, ids)
    for config in (GenerationConfig(max_new_tokens=5), GenerationConfig(max_length=8)):
        got = both(ForcedEos(config.max_added, ids), reference, rows, scores)
        assert is_changed(got, scores) == (added == 4)


def test_forced_last_piece_counts_each_row_by_itself():
    rows = [Row([1, 2, 3], [4]), Row([1], [4])]
    got = ForcedEos(GenerationConfig(max_length=5).max_added, [6])(rows, torch.ones(2, 8))
    assert got.isfinite().sum(-1).tolist() == [1, 8]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("forbidden", [0.0, 0.7])
@pytest.mark.parametrize(
    "ours, reference",
    [
        (Temperature(0.3), theirs.TemperatureLogitsWarper(0.3)),
        (Temperature(3), theirs.TemperatureLogitsWarper(3.0)),
        *[
            (TopK(k, keep=n), theirs.TopKLogitsWarper(k, min_tokens_to_keep=n))
            for k in (1, 5, 99)
            for n in (1, 3)
        ],
        *[
            (TopP(p, keep=n), theirs.TopPLogitsWarper(p, min_tokens_to_keep=n))
            for p in (0, 0.3, 0.9)
            for n in (1, 3)
        ],
        *[
            (MinP(p, keep=n), theirs.MinPLogitsWarper(p, min_tokens_to_keep=n))
            for p in (0, 0.2, 1)
            for n in (1, 3)
        ],
        *[
            (Typical(p, keep=n), theirs.TypicalLogitsWarper(p, min_tokens_to_keep=n))
            for p in (0.1, 0.5, 0.95)
            for n in (1, 3)
        ],
    ],
)
def test_warpers(ours, reference, seed, forbidden):
    scores = draw_scores(seed=seed, forbidden=forbidden)
    got = both(ours, reference, draw_rows(), scores)
    assert (got > -INF).any(-1).all()
    assert (got.isneginf() | ~scores.isneginf()).all()  # what was forbidden stays so


@pytest.mark.parametrize(
    "ours, reference",
    [
        (TopK(2), theirs.TopKLogitsWarper(2)),
        *[(TopP(p), theirs.TopPLogitsWarper(p)) for p in (0.3, 0.4, 0.5, 0.8, 0.9)],
        (MinP(0.6), theirs.MinPLogitsWarper(0.6)),
        *[(Typical(p), theirs.TypicalLogitsWarper(p)) for p in (0.2, 0.4, 0.5, 0.6)],
    ],
)
def test_ties_are_decided_as_in_hugging_face(ours, reference):
    ties = torch.tensor(
        [[0.3, 0.1, 0.1, 0.5, 0.0], [0.15, 0.3, 0.3, 0.25, 0.0], [0.2, 0.2, 0.2, 0.2, 0.2]]
    ).log()
    both(ours, reference, draw_rows(vocabulary=5), ties)


def test_the_best_piece_is_kept_by_all_warpers_together():
    config = GenerationConfig(do_sample=True, top_k=1, top_p=0.0, min_p=1.0, typical_p=1e-6, temperature=0.01)
    scores = draw_scores(4, seed=3, forbidden=0.5)
    best = scores.argmax(-1)
    for processor in logits_processors(config, V):
        scores = processor(draw_rows(4), scores)
    assert torch.equal(scores.isfinite(), torch.nn.functional.one_hot(best, V).bool())


@pytest.mark.parametrize("head", [4, 16, 1000])
@pytest.mark.parametrize("seed", range(4))
def test_the_head_of_a_large_vocabulary_is_enough(monkeypatch, head, seed):
    """With 16, the distributions of small scale need the whole vocabulary, those of large scale the head only."""
    rows = draw_rows(2)
    pairs = [
        *[
            (TopP(p, keep=n), theirs.TopPLogitsWarper(p, min_tokens_to_keep=n))
            for p in (0.3, 0.95)
            for n in (1, 5)
        ],
        *[
            (Typical(p, keep=n), theirs.TypicalLogitsWarper(p, min_tokens_to_keep=n))
            for p in (0.3, 0.95)
            for n in (1, 5)
        ],
    ]
    for scale in (0.1, 3.0, 9.0):
        for forbidden in (0.0, 0.98):
            scores = draw_scores(2, 500, seed=seed, scale=scale, forbidden=forbidden)
            for ours, reference in pairs:
                expected = reference(input_ids(rows), scores.clone())
                monkeypatch.setattr(warpers, "HEAD", head)
                torch.testing.assert_close(ours(rows, scores.clone()), expected, rtol=0, atol=0)


def test_the_head_spares_the_sort(monkeypatch):
    """Of a peaked distribution nothing is sorted; of a flat one everything is."""
    monkeypatch.setattr(warpers, "HEAD", 16)
    sorts = []
    sort = torch.Tensor.sort
    monkeypatch.setattr(
        torch.Tensor, "sort", lambda self, *args: sorts.append(self.shape) or sort(self, *args)
    )
    for processor in (TopP(0.9), Typical(0.9)):
        processor(draw_rows(2), draw_scores(2, 500, scale=9.0))
        assert sorts == []
        processor(draw_rows(2), torch.zeros(2, 500))
        assert sorts.pop() == (2, 500)


def test_dead_ids_are_forbidden():
    got = AllowedVocabulary(30)(draw_rows(), draw_scores())
    assert torch.equal(got[:, :30], draw_scores()[:, :30]) and got[:, 30:].isneginf().all()
    assert torch.equal(AllowedVocabulary(V)(draw_rows(), draw_scores()), draw_scores())


def test_a_row_without_a_piece_is_named():
    rows = [Row([1]), Row([0, 1, 2], [2])]
    config = GenerationConfig(bad_words_ids=[[0], [1], [2, 2]])
    scores = torch.zeros(2, 5)
    with pytest.raises(InputError, match=r"row 1 \(3 pieces and 1 added\), got none.*bad_words_ids"):
        for processor in logits_processors(config, 3):
            scores = processor(rows, scores)


def test_scores_that_are_no_numbers_are_refused():
    scores = draw_scores(2)
    scores[1, 4] = float("nan")
    with pytest.raises(InputError, match="NaN in row 1 "):
        SomePieceLeft()(draw_rows(2), scores)
    assert torch.equal(SomePieceLeft()(draw_rows(), draw_scores()), draw_scores())


@pytest.mark.parametrize("penalty", [True, False])
def test_rows_are_known_by_their_pieces_only(penalty):
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


def test_remembered_prompts_are_limited_and_never_confused(monkeypatch):
    monkeypatch.setattr(processors, "MOST_PROMPTS", 3)
    processor = NoRepeatNGram(1)
    for i in range(50):  # new prompts may get the identity of those that are gone
        got = processor([Row([i % 7])], torch.zeros(1, 8))
        assert got.isneginf().nonzero().tolist() == [[0, i % 7]]
    assert len(processor._prompt._known) == 3


def test_nothing_asked_for_is_nothing_changed():
    scores = draw_scores()
    for processor in logits_processors(GenerationConfig(temperature=0.5, top_k=3), V):  # without do_sample
        scores = processor(draw_rows(), scores)
    assert torch.equal(scores, draw_scores())


def test_the_callers_own_stand_before_what_is_drawn_from():
    class Only:
        def __call__(self, rows, scores):
            kept = scores[:, 5].clone()
            scores.fill_(-INF)[:, 5] = kept
            return scores

    config = GenerationConfig(do_sample=True, top_k=1, repetition_penalty=1.1, eos_token_id=2, min_length=3)
    chosen = logits_processors(config, V, custom=[only := Only()])
    names = [type(processor).__name__ for processor in chosen]
    assert names == ["RepetitionPenalty", "MinLength", "Only", "AllowedVocabulary", "SomePieceLeft", "TopK"]
    assert chosen[2] is only
    scores = draw_scores()
    for processor in chosen:
        scores = processor(draw_rows(), scores)
    assert torch.equal(scores.isfinite().nonzero()[:, 1], torch.tensor([5, 5, 5]))


@pytest.mark.parametrize(
    "values",
    [
        {"eos_token_id": 30},
        {"eos_token_id": [2, 30]},
        {"forced_bos_token_id": 31},
        {"forced_eos_token_id": [30]},
        {"bad_words_ids": [[2], [3, 30]]},
    ],
)
def test_ids_outside_the_vocabulary_are_refused(values):
    (name,) = values
    with pytest.raises(InputError, match=rf"below 30, .* in {name}; got \[3[01]\]"):
        logits_processors(GenerationConfig(**values), 30)
    logits_processors(GenerationConfig(**values), 32)


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "repetition_penalty": st.sampled_from([0.7, 1.4]),
        "no_repeat_ngram_size": st.integers(1, 3),
        "bad_words_ids": st.lists(
            st.lists(st.integers(0, 5), min_size=1, max_size=3), min_size=1, max_size=3
        ),
        "min_length": st.integers(1, 12),
        "min_new_tokens": st.integers(1, 4),
        "forced_bos_token_id": st.integers(0, 5),
        "forced_eos_token_id": st.sampled_from([3, [3, 4]]),
        "eos_token_id": st.sampled_from([7, [7, 8]]),
        "do_sample": st.just(True),
        "num_beams": st.just(2),
        "temperature": st.sampled_from([0.5, 2.0]),
        "top_k": st.integers(1, 10),
        "top_p": st.sampled_from([0.2, 0.8]),
        "min_p": st.sampled_from([0.01, 0.3]),
        "typical_p": st.sampled_from([0.2, 0.8]),
    },
)


def their_list(values, prompt):
    """What Hugging Face's generate makes of the same options for prompts of one length."""
    config = transformers.GenerationConfig(**{"top_k": 0, **values})
    eos = values.get("eos_token_id")
    config._eos_token_tensor = None if eos is None else torch.tensor([eos] if isinstance(eos, int) else eos)
    if "min_new_tokens" in values:
        config.min_length = values["min_new_tokens"] + prompt
    config.max_length = values["max_new_tokens"] + prompt
    model = SimpleNamespace(
        _merge_criteria_processor_list=lambda default, _: default, config=transformers.BloomConfig()
    )
    make = transformers.BloomForCausalLM._get_logits_processor
    return make(model, config, input_ids_seq_length=prompt, device="cpu")


@settings(max_examples=200, deadline=None)
@given(OPTIONS, st.integers(0, 10**6), st.sampled_from([(1, 0), (4, 2), (3, 4), (5, 0)]))
def test_all_together_in_hugging_faces_order(values, seed, lengths):
    prompt, added = lengths
    values = {**values, "max_new_tokens": 5}
    if prompt == 1:  # the corner in which a bad word passes there
        values.pop("bad_words_ids", None)
    elif added == 0:  # the corner in which nothing is forced there
        values.pop("forced_bos_token_id", None)
    rows = draw_rows(prompt=prompt, added=added, seed=seed, vocabulary=6)
    scores = draw_scores(seed=seed)
    expected = their_list(values, prompt)(input_ids(rows), scores.clone())
    got = scores.clone()
    for processor in logits_processors(GenerationConfig(**values), V):
        got = processor(rows, got)
    torch.testing.assert_close(got, expected, rtol=0, atol=0)
