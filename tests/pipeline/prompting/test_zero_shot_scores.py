import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_bloom import BloomConfig, BloomForCausalLM, BloomTokenizerFast
from spacy_bloom.errors import InputError
from spacy_bloom.generation.batches import encode_prompts
from spacy_bloom.pipeline.prompting.zero_shot_questions import Question
from spacy_bloom.pipeline.prompting.zero_shot_scores import KeptScores, fit_prompt

TAIL = "\nQuestion: what is it about?"


@pytest.fixture(scope="module")
def tokenizer(checkpoint):
    return BloomTokenizerFast.from_pretrained(checkpoint)


# Prompts that are too long


@pytest.mark.parametrize("most", [40, 41, 42, 60, 100, 150])
@pytest.mark.parametrize(
    "text", ["  Il pleut depuis ce matin ; les enfants. \n" * 12, "今天天气很好。" * 30, "</s> a " * 40]
)
def test_the_text_is_cut_at_its_end(tokenizer, text, most):
    start = "Read: "
    ids, cut = fit_prompt(tokenizer, start + text + TAIL, text, most)
    prompt = tokenizer.decode(ids)
    assert cut and prompt.startswith(start) and prompt.endswith(TAIL)
    kept = prompt[len(start) : -len(TAIL)]
    assert kept and kept != text and text.startswith(kept)
    assert most - 3 <= len(ids) <= most
    assert ids == encode_prompts(tokenizer, [prompt])[0]


def test_what_fits_is_not_cut(tokenizer):
    (ids,) = encode_prompts(tokenizer, ["a </s> river" + TAIL])
    for most in (None, len(ids), len(ids) + 1):
        assert fit_prompt(tokenizer, "a </s> river" + TAIL, "a </s> river", most) == (ids, False)
    assert fit_prompt(tokenizer, "a </s> river" + TAIL, "a </s> river", len(ids) - 1)[1]
    assert fit_prompt(tokenizer, "", "", 1) == ([], False)


def test_a_text_that_the_template_has_stripped(tokenizer):
    text = " \n the sum of the river " * 10 + "  "
    ids, cut = fit_prompt(tokenizer, text.strip() + TAIL, text, 30)
    assert cut and len(ids) <= 30 and tokenizer.decode(ids).endswith(TAIL)


@pytest.mark.parametrize(
    "prompt, text, most, message",
    [
        ("THE SUM OF IT" + TAIL, "the sum of it", 12, "no text of the Doc in it"),
        ("and so on " * 9, "", 12, "no text of the Doc in it"),
        ("the sum" + TAIL * 3, "the sum", 12, "too few of them"),
        (TAIL * 3 + "the sum", "the sum", 12, "too few of them"),
    ],
)
def test_what_cannot_be_cut(tokenizer, prompt, text, most, message):
    with pytest.raises(InputError, match=message):
        fit_prompt(tokenizer, prompt, text, most)


@settings(max_examples=200, deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60),
    st.integers(min_value=1, max_value=60),
)
def test_any_text_is_cut_or_refused(tokenizer, text, most):
    try:
        ids, cut = fit_prompt(tokenizer, text + TAIL, text, most)
    except InputError:
        assert len(encode_prompts(tokenizer, [text + TAIL])[0]) > most
        return
    prompt = tokenizer.decode(ids)
    assert len(ids) <= most and prompt.endswith(TAIL)
    assert text.startswith(prompt[: -len(TAIL)]) and cut == (prompt != text + TAIL)


# Scores that are kept


@pytest.fixture
def tiny_model():
    torch.manual_seed(0)
    return BloomForCausalLM(BloomConfig(vocab_size=20, hidden_size=8, n_layer=1, n_head=2)).eval()


def score_lengths(asked):
    """A function that scores by the lengths of texts, and a list of what it was asked."""

    def score(questions):
        asked.extend((q.prompt, answer) for q in questions for answer in q.answers)
        return [[[float(len(q.prompt)), float(len(answer))] for answer in q.answers] for q in questions]

    return score


def test_only_what_is_new_is_scored(tiny_model):
    kept, asked = KeptScores(), []
    questions = [Question("p", ("a", "bb")), Question("qq", ("a",)), Question("p", ("bb", "ccc"))]
    expected = [[[1.0, 1.0], [1.0, 2.0]], [[2.0, 1.0]], [[1.0, 2.0], [1.0, 3.0]]]
    assert kept.look_up(tiny_model, questions, score_lengths(asked)) == expected
    assert sorted(asked) == [("p", "a"), ("p", "bb"), ("p", "ccc"), ("qq", "a")]
    assert kept.look_up(tiny_model, questions, score_lengths(asked)) == expected
    assert len(asked) == len(kept) == 4


@pytest.mark.parametrize("name", ["transformer.ln_f.weight", "transformer.h.0.mlp.dense_h_to_4h.weight"])
def test_other_weights_are_scored_again(tiny_model, name):
    kept, asked = KeptScores(), []
    questions = [Question("p", ("a",))]
    kept.look_up(tiny_model, questions, score_lengths(asked))
    kept.look_up(copy.deepcopy(tiny_model), questions, score_lengths(asked))
    assert len(asked) == 1
    # As thinc's optimizers do: in place, and behind the back of torch.
    dict(tiny_model.named_parameters())[name].detach().numpy()[...] += 1e-6
    kept.look_up(tiny_model, questions, score_lengths(asked))
    assert len(asked) == 2
