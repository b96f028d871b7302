import pytest
import torch

from spacy_bloom import BloomConfig, BloomForCausalLM
from spacy_bloom.errors import ConfigError, InputError
from spacy_bloom.generation.arguments import (
    Inputs,
    as_config,
    read_inputs,
    resolve_options,
    split_arguments,
    with_lengths,
)
from spacy_bloom.generation.config import GenerationConfig


@pytest.fixture
def model():
    return BloomForCausalLM(BloomConfig(vocab_size=97, hidden_size=24, n_layer=1, n_head=3, pad_token_id=3))


def test_precedence(model):
    model.generation_config = GenerationConfig(top_k=4, num_beams=2, eos_token_id=7)
    given = GenerationConfig(top_k=5)
    config = resolve_options(model, given, {"max_new_tokens": 3})
    assert (config.top_k, config.num_beams, config.max_new_tokens, config.eos_token_id) == (5, 2, 3, 7)
    assert resolve_options(model, given, {}, use_model_defaults=False).num_beams == 1
    assert resolve_options(model, None, {"eos_token_id": None}).eos_token_ids == ()
    assert (given.num_beams, model.generation_config.max_new_tokens) == (1, None)  # neither is changed


def test_a_minimum_of_the_models_is_no_conflict(model):
    model.generation_config = GenerationConfig(min_new_tokens=5, max_new_tokens=9)
    assert resolve_options(model, None, {"max_new_tokens": 2}).min_new_tokens == 2
    with pytest.raises(ConfigError, match="min_new_tokens to be at most"):
        resolve_options(model, None, {"max_new_tokens": 2, "min_new_tokens": 3})


def test_arguments_are_told_apart():
    mask = torch.ones(1, 2)
    options, inputs = split_arguments(
        {"top_k": 3, "attention_mask": mask, "return_dict": True, "other": None}
    )
    assert options == {"top_k": 3} and inputs == {"attention_mask": mask}
    with pytest.raises(ConfigError, match="Did you mean max_new_tokens"):
        split_arguments({"max_new_token": 3})
    with pytest.raises(ConfigError, match="generation_config as a GenerationConfig"):
        as_config({"top_k": 3})


def test_lengths_count_the_rectangle():
    inputs = Inputs(torch.ones(2, 5, dtype=torch.long), torch.tensor([[0, 0, 1, 1, 1], [1] * 5]))
    config = with_lengths(GenerationConfig(max_length=12, min_length=8), inputs)
    assert (config.max_new_tokens, config.min_new_tokens) == (7, 3)
    assert inputs.prompts == [[1, 1, 1], [1] * 5]
    with pytest.raises(InputError, match="max_length=5"):
        with_lengths(GenerationConfig(max_length=5), inputs)


def test_padding_is_brought_to_the_left():
    ids, mask = torch.tensor([[5, 6, 3], [7, 8, 9]]), torch.tensor([[1, 1, 0], [1, 1, 1]])
    moved = Inputs(ids, mask).padded_left()
    assert moved.ids.tolist() == [[3, 5, 6], [7, 8, 9]] and moved.mask.tolist() == [[0, 1, 1], [1, 1, 1]]
    left = Inputs(moved.ids, moved.mask)
    assert left.padded_left() is left


def test_inputs_that_do_not_fit(model):
    ids, config = torch.tensor([[5, 6]]), GenerationConfig(pad_token_id=3, bos_token_id=1)
    assert read_inputs(model, torch.tensor([[3, 6]]), {}, config).mask.tolist() == [[0, 1]]
    assert read_inputs(model, None, {}, config).ids.tolist() == [[1]]
    with pytest.raises(InputError, match="prompts twice"):
        read_inputs(model, ids, {"input_ids": ids}, config)
    with pytest.raises(InputError, match=r"got \(1, 2\) and \(1, 3\)"):
        read_inputs(model, ids, {"attention_mask": torch.ones(1, 3)}, config)
    with pytest.raises(InputError, match="bos_token_id to begin with"):
        read_inputs(model, None, {}, GenerationConfig())
