"""generate and generate_stream as methods: padding, options, and texts of streams."""

import pytest
import torch

from spacy_bloom import BloomForCausalLM, BloomTokenizerFast
from spacy_bloom.errors import InputError
from spacy_bloom.generation.causal_lm import piece_bytes
from spacy_bloom.generation.config import GenerationConfig


@pytest.fixture(scope="module")
def model(checkpoint):
    return BloomForCausalLM.from_pretrained(checkpoint)


@pytest.fixture(scope="module")
def tokenizer(checkpoint):
    return BloomTokenizerFast.from_pretrained(checkpoint)


def test_padding_on_either_side_changes_nothing(model, tokenizer):
    pad = tokenizer.pad_token_id
    ids = tokenizer("The river")["input_ids"]
    expected = model.generate(torch.tensor([ids]), max_new_tokens=5)[0, len(ids) :].tolist()
    for row in ([pad, pad, *ids], [*ids, pad, pad], [pad, *ids, pad]):
        mask = (torch.tensor([row]) != pad).long()
        for options in ({"attention_mask": mask}, {"pad_token_id": pad}):
            found = model.generate(torch.tensor([row]), max_new_tokens=5, **options)
            assert found[0, : len(row)].tolist() == row and found[0, len(row) :].tolist() == expected


def test_shorter_sequences_are_filled_up(model):
    free = model.generate(torch.tensor([[5, 9]]), max_new_tokens=4, eos_token_id=None)[0, 2:].tolist()
    found = model.generate(torch.tensor([[5, 9]] * 2), max_new_tokens=4, eos_token_id=free[1], pad_token_id=3)
    assert found[:, 2:].tolist() == [free[: free.index(free[1]) + 1]] * 2


def test_options_of_a_call_take_precedence(checkpoint):
    model = BloomForCausalLM.from_pretrained(checkpoint)
    ids = torch.tensor([[5, 9]])
    model.generation_config = GenerationConfig(max_new_tokens=3, eos_token_id=None)
    assert model.generate(ids, eos_token_id=607).shape == (1, 5)
    assert model.generate(ids, max_new_tokens=6, eos_token_id=607).shape == (1, 8)
    assert model.generate(ids, generation_config=GenerationConfig(max_new_tokens=1)).shape == (1, 3)


def test_texts_of_a_stream_join_to_the_text(model, tokenizer):
    prompts = [tokenizer(text)["input_ids"] for text in ("The river", "今天")]
    texts, pieces = ["", ""], [[], []]
    for step in model.generate_stream(
        prompts, tokenizer=tokenizer, max_new_tokens=30, do_sample=True, seed=3
    ):
        texts[step.prompt] += step.text
        pieces[step.prompt] += step.pieces
    assert texts == [tokenizer.decode(own, skip_special_tokens=True) for own in pieces]


def test_shapes_that_do_not_fit_are_errors(model):
    with pytest.raises(InputError, match=r"one shape \(batch, length\); got \(3,\)"):
        model.generate(torch.tensor([1, 2, 3]))
    with pytest.raises(InputError, match=r"got \(1, 2\) and \(1, 3\)"):
        model.generate(torch.tensor([[1, 2]]), torch.ones(1, 3))


def test_the_bytes_of_a_tokenizer_are_made_once(tokenizer):
    assert piece_bytes(tokenizer) is piece_bytes(tokenizer)
