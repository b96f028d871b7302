"""Weights in 16 bits give the numbers of the same weights in float32."""

import copy
import json
import pickle

import pytest
import torch
from torch import nn

from spacy_bloom import BloomConfig, BloomForCausalLM, BloomForTokenClassification, BloomModel
from spacy_bloom.checkpoint.quantized import quantization_method
from spacy_bloom.errors import CheckpointError, ConfigError, InputError
from spacy_bloom.finetuning.learning import let_learn
from spacy_bloom.quantization.half import HalfWeights
from spacy_bloom.quantization.half_layers import HalfEmbedding, HalfLinear, HalfLMHead

DTYPES = [torch.float16, torch.bfloat16]
IDS = torch.randint(120, (3, 20), generator=torch.Generator().manual_seed(3))


def make(kind=BloomForCausalLM, **changes):
    torch.manual_seed(0)
    fields = dict(vocab_size=120, hidden_size=64, n_layer=3, n_head=4, initializer_range=0.2) | changes
    model = kind(BloomConfig(**fields)).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter)
    return model


def decoder(model):
    return getattr(model, "transformer", model)


@torch.no_grad()
def states(model):
    return decoder(model).encode_packed(IDS.flatten(), [20] * 3)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", [BloomModel, BloomForCausalLM, BloomForTokenClassification])
def test_hidden_states_are_those_of_the_rounded_weights_in_float32(kind, dtype):
    rounded = make(kind).to(dtype).float()
    model = HalfWeights(dtype).quantize(make(kind))
    torch.testing.assert_close(states(model), states(rounded), rtol=1e-5, atol=1e-5)
    assert isinstance(decoder(model).h[0].mlp.dense_4h_to_h, HalfLinear)
    assert isinstance(decoder(model).word_embeddings, HalfEmbedding)
    assert quantization_method(model.config) == str(dtype).removeprefix("torch.")
    assert decoder(model).h[0].mlp.dense_4h_to_h.weight.dtype == dtype


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tied", [True, False])
def test_what_is_generated_is_the_same(dtype, tied):
    rounded = make(tie_word_embeddings=tied).to(dtype).float()
    model = HalfWeights(dtype).quantize(make(tie_word_embeddings=tied))
    with torch.no_grad():
        torch.testing.assert_close(model(IDS).logits, rounded(IDS).logits, rtol=1e-5, atol=1e-5)
    assert torch.equal(model.generate(IDS, max_new_tokens=6), rounded.generate(IDS, max_new_tokens=6))
    assert (model.lm_head.weight is model.transformer.word_embeddings.weight) is tied


def test_a_head_answers_for_some_pieces_as_for_all():
    head, pieces = HalfWeights(torch.float16).quantize(make()).lm_head, torch.tensor([119, 0, 7])
    hidden = torch.randn(2, 5, 64)
    assert isinstance(head, HalfLMHead) and head.vocab_size == 120
    torch.testing.assert_close(head.logits(hidden, pieces=pieces), head.logits(hidden)[..., pieces])


@pytest.mark.parametrize("dtype", DTYPES)
def test_comes_back_from_files_as_it_was(tmp_path, dtype):
    model = HalfWeights(dtype).quantize(make())
    model.save_pretrained(tmp_path)
    again = BloomForCausalLM.from_pretrained(tmp_path)
    assert torch.equal(states(again), states(model))
    assert again.lm_head.weight.dtype == dtype
    assert json.loads((tmp_path / "config.json").read_text())["quantization"] == {
        "method": str(dtype).removeprefix("torch.")
    }


def test_files_in_the_dtype_are_taken_as_they_are(tmp_path):
    make().half().save_pretrained(tmp_path)
    model = BloomForCausalLM.from_pretrained(tmp_path, quantization="float16")
    exact = BloomForCausalLM.from_pretrained(tmp_path)
    torch.testing.assert_close(states(model), states(exact), rtol=1e-5, atol=1e-5)
    assert model.transformer.ln_f.weight.dtype == torch.float32
    assert model.transformer.word_embeddings.weight.dtype == torch.float16


def test_copies_and_pickles_give_the_same():
    model = HalfWeights(torch.float16).quantize(make())
    expected = states(model)
    assert torch.equal(states(copy.deepcopy(model)), expected)
    assert torch.equal(states(pickle.loads(pickle.dumps(model))), expected)


def test_what_is_below_a_layer_gets_its_gradient():
    model = HalfWeights(torch.bfloat16).quantize(make(BloomModel))
    layer, inner = model.h[0].mlp.dense_h_to_4h, torch.randn(5, 64, requires_grad=True)
    upstream = torch.randn(5, 256)
    layer(inner).backward(upstream)
    torch.testing.assert_close(inner.grad, upstream @ layer.weight.float())
    assert not any(parameter.requires_grad for parameter in layer.parameters())


def test_does_not_learn_and_is_not_quantised_twice():
    model = HalfWeights(torch.float16).quantize(make(BloomModel))
    with pytest.raises(ConfigError, match="quantised"):
        let_learn(model, None, None)
    with pytest.raises(InputError, match="already"):
        HalfWeights(torch.bfloat16).quantize(model)


def test_a_weight_beyond_the_dtype_is_refused():
    model = make(BloomModel)
    with torch.no_grad():
        model.h[1].mlp.dense_h_to_4h.weight[3, 4] = 1e5
    with pytest.raises(CheckpointError, match=r"h\.1\.mlp\.dense_h_to_4h"):
        HalfWeights(torch.float16).quantize(model)
