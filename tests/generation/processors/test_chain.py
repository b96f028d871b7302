from types import SimpleNamespace

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_bloom.errors import InputError
from spacy_bloom.generation.config import GenerationConfig
from spacy_bloom.generation.processors.chain import logits_processors
from spacy_bloom.generation.rows import Row

V = 40
INF = float("inf")


def is_changed(got, scores):
    return not torch.equal(got, scores)


def test_the_best_piece_is_kept_by_all_warpers_together(draw_scores, draw_rows):
    config = GenerationConfig(do_sample=True, top_k=1, top_p=0.0, min_p=1.0, typical_p=1e-6, temperature=0.01)
    scores = draw_scores(4, seed=3, forbidden=0.5)
    best = scores.argmax(-1)
    for processor in logits_processors(config, V):
        scores = processor(draw_rows(4), scores)
    assert torch.equal(scores.isfinite(), torch.nn.functional.one_hot(best, V).bool())


def test_a_row_without_a_piece_is_named():
    rows = [Row([1]), Row([0, 1, 2], [2])]
    config = GenerationConfig(bad_words_ids=[[0], [1], [2, 2]])
    scores = torch.zeros(2, 5)
    with pytest.raises(InputError, match=r"row 1 \(3 pieces and 1 added\), got none.*bad_words_ids"):
        for processor in logits_processors(config, 3):
            scores = processor(rows, scores)


def test_nothing_asked_for_is_nothing_changed(draw_scores, draw_rows):
    scores = draw_scores()
    for processor in logits_processors(GenerationConfig(temperature=0.5, top_k=3), V):  # without do_sample
        scores = processor(draw_rows(), scores)
    assert torch.equal(scores, draw_scores())


def test_the_callers_own_stand_before_what_is_drawn_from(draw_scores, draw_rows):
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
def test_all_together_in_hugging_faces_order(draw_scores, draw_rows, input_ids, values, seed, lengths):
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
