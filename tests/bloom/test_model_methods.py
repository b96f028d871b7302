import pytest
import torch

from spacy_bloom import BloomConfig, BloomForCausalLM
from spacy_bloom.errors import BloomWarning

CONFIG = BloomConfig(vocab_size=50, hidden_size=24, n_layer=2, n_head=3, pad_token_id=3)


@pytest.fixture(scope="module")
def model():
    return BloomForCausalLM(CONFIG).eval()


@pytest.mark.parametrize("call, message", [
    (lambda m: m.prune_heads({0: [1]}), "no attention head"),
    (lambda m: m.resize_position_embeddings(5), "no position embeddings"),
    (lambda m: m.get_position_embeddings(), "no position embeddings"),
    (lambda m: m.dequantize(), "in float"),
    (lambda m: m.to_bettertransformer(), "fast kernels"),
    (lambda m: m.reverse_bettertransformer(), "fast kernels"),
    (lambda m: m.register_for_auto_class("AutoModel"), "no code"),
    (lambda m: m.push_to_hub("name"), "upload_folder"),
    (lambda m: m.get_head_mask(torch.ones(3), 2), "head_mask"),
])  # fmt: skip
def test_what_is_refused_says_why(model, call, message):
    with pytest.raises((ValueError, NotImplementedError), match=message):
        call(model)


def test_no_head_mask_is_one_for_each_block(model):
    assert model.get_head_mask(None, 2) == [None, None]
    model(torch.tensor([[1]]), head_mask=model.get_head_mask(None, 2))


def test_weights_and_modules_by_name(model):
    assert model.get_parameter_or_buffer("lm_head.weight") is model.lm_head.weight
    with pytest.raises(AttributeError, match="nothing"):
        model.get_parameter_or_buffer("nothing")
    assert model.retrieve_modules_from_names(["transformer.ln_f.bias"]) == [model.transformer.ln_f]
    assert model.retrieve_modules_from_names(["ln_f.bias"], add_prefix=True) == [model.transformer.ln_f]
    names = ["transformer.ln_f.bias"]
    assert model.transformer.retrieve_modules_from_names(names, remove_prefix=True) == [
        model.transformer.ln_f
    ]


def test_padding_without_a_mask_is_warned_of(model, recwarn):
    model.warn_if_padding_and_no_attention_mask(torch.tensor([[5, 6]]), None)
    model.warn_if_padding_and_no_attention_mask(torch.tensor([[3, 6]]), torch.tensor([[0, 1]]))
    assert not recwarn
    with pytest.warns(BloomWarning, match="padded"):
        model.warn_if_padding_and_no_attention_mask(torch.tensor([[3, 6]]), None)


def test_backends(model):
    assert not model.is_backend_compatible() and not model.supports_tp_plan and not model.supports_pp_plan
    assert callable(model.get_compiled_call())
