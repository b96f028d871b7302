"""Numbers of the two frameworks, and of transformers' Flax classes where these run."""

import numpy as np
import pytest
import torch

jax = pytest.importorskip("jax", reason="jax is not installed: pip install spacy-bloom[jax].")

from spacy_bloom.bloom_jax.model import Decoder, LanguageModel, param_shapes, run
from spacy_bloom.checkpoint.names import decoder_shapes

CLOSE = 1e-5
# All that differs among the ten geometries: numbers of heads, residuals, tied weights, epsilons. Each costs a program;
# outputs are compared in all ten.
DIFFERENT = ["3-heads", "5-heads-untied", "8-heads", "12-heads-epsilon"]


def in_torch(model, ids, mask, **options):
    return model(torch.tensor(ids), attention_mask=torch.tensor(mask), **options)


def test_everything_equals_torch(twin_config, pair, batch, gap):
    model, twin = pair(**twin_config)
    ids, mask = batch(twin_config["vocab_size"])
    with torch.no_grad():
        expected = in_torch(model, ids, mask, output_hidden_states=True, output_attentions=True)
    found = twin(ids, mask, output_hidden_states=True, output_attentions=True)
    assert gap(found.logits, expected.logits) < CLOSE
    assert len(found.hidden_states) == len(expected.hidden_states)
    assert len(found.attentions) == len(expected.attentions)
    for ours, theirs in zip(found.hidden_states, expected.hidden_states, strict=True):
        assert gap(ours, theirs) < CLOSE
    for ours, theirs in zip(found.attentions, expected.attentions, strict=True):
        assert gap(ours, theirs) < CLOSE


@pytest.mark.parametrize("twin_config", DIFFERENT, indirect=True)
def test_cache_equals_torch(twin_config, pair, batch, gap):
    model, twin = pair(**twin_config)
    ids, mask = batch(twin_config["vocab_size"])
    cache = twin.init_cache(3, 16)
    past = None
    for part in (slice(0, 6), slice(6, 12)):
        with torch.no_grad():
            expected = in_torch(
                model, ids[:, part], mask[:, : part.stop], past_key_values=past, use_cache=True
            )
        found = twin(ids[:, part], mask[:, part], cache)
        cache, past = found.past_key_values, expected.past_key_values
        assert gap(found.logits, expected.logits) < CLOSE
    assert int(cache.index) == 12
    for layer, (keys, values) in enumerate(zip(cache.keys, cache.values, strict=True)):
        for ours, theirs in zip((keys, values), past[layer], strict=True):
            assert gap(ours[:, :12], theirs.transpose(1, 2)) < CLOSE


@pytest.mark.parametrize("twin_config", DIFFERENT, indirect=True)
def test_gradients_equal_torch(twin_config, pair, batch, gap):
    model, twin = pair(**twin_config)
    ids, mask = batch(twin_config["vocab_size"])
    weights = np.random.default_rng(1).normal(size=(*ids.shape, twin_config["vocab_size"])).astype(np.float32)
    model.zero_grad()
    (in_torch(model, ids, mask).logits * torch.tensor(weights)).sum().backward()
    found = jax.grad(lambda params: (twin(ids, mask, params=params).logits * weights).sum())(twin.params)
    expected = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        assert gap(gradient, expected[name]) < CLOSE, name


@pytest.mark.parametrize("after_norm", [False, True])
def test_logits_equal_transformers(after_norm, pair, batch, gap, tmp_path):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed.")
    if not hasattr(transformers, "FlaxBloomForCausalLM"):
        pytest.skip("transformers 5 has no Flax classes.")
    model, twin = pair(
        n_head=4,
        hidden_size=32,
        n_layer=1,
        vocab_size=64,
        apply_residual_connection_post_layernorm=after_norm,
    )
    model.save_pretrained(tmp_path)
    ids, mask = batch(64)
    theirs = transformers.FlaxBloomForCausalLM.from_pretrained(tmp_path)
    expected = jax.jit(theirs.__call__)(ids, attention_mask=mask, params=theirs.params).logits
    assert gap(twin(ids, mask).logits, expected) < CLOSE


def test_shapes_are_those_of_checkpoints(twin_config, pair):
    model, _ = pair(**twin_config)
    assert param_shapes(Decoder, model.config) == decoder_shapes(model.config)
    own = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    assert param_shapes(LanguageModel, model.config) == own


def test_fields_that_were_not_asked_for_are_none(tiny, batch):
    _, twin = tiny
    ids, mask = (np.asarray(array, np.int32) for array in batch())
    output = run(
        LanguageModel, twin.config, twin.params, ids, mask, None, None, None, attentions=False, states=True
    )
    assert output.attentions is None and output.past_key_values is None
    assert len(output.hidden_states) == 3
    assert len(output.to_tuple()) == 2 and output[0] is output.logits is output["logits"]
    assert [part is not None for part in output] == [True, True]
