import sys

import pytest
import torch

from spacy_bloom import BloomConfig, BloomModel
from spacy_bloom.errors import ConfigError
from spacy_bloom.finetuning.layerwise import set_trainable_layers
from spacy_bloom.finetuning.lora import (
    TARGETS,
    LoraSettings,
    adapter_shapes,
    adapter_weights,
    add_lora,
    base_weights,
    freeze_base,
    has_lora,
    load_adapter_weights,
    merged_weights,
)
from spacy_bloom.settings import from_settings

CONFIG = BloomConfig(vocab_size=97, hidden_size=24, n_layer=3, n_head=3)
IDS, LENGTHS = torch.arange(9) * 7, [4, 5]


@pytest.fixture
def make(randomize):
    """A function that makes a random model, the same every time, and one with random adapters."""

    def build(settings=None):
        model = randomize(BloomModel(CONFIG)).eval()
        if settings is not None:
            add_lora(model, settings)
            weights = adapter_weights(model)
            generator = torch.Generator().manual_seed(1)
            drawn = {n: 0.2 * torch.randn(w.shape, generator=generator) for n, w in weights.items()}
            load_adapter_weights(model, drawn)
        return model

    return build


def merge(model, settings):
    plain = BloomModel(CONFIG).eval()
    plain.load_state_dict(merged_weights(model, settings))
    return plain


@pytest.mark.parametrize("targets", [TARGETS, *[[name] for name in TARGETS]])
def test_adapters_and_merged_weights_compute_the_same(make, difference, targets):
    """Without gradients, where the core has ways of its own for plain layers, and with them."""
    settings = LoraSettings(r=4, alpha=6, targets=targets)
    model = make(settings)
    merged = merge(model, settings)
    with torch.no_grad():
        found, expected = model.encode_packed(IDS, LENGTHS), merged.encode_packed(IDS, LENGTHS)
        assert difference(make().encode_packed(IDS, LENGTHS), expected) > 1e-2
        assert difference(found, expected) < 1e-5
        rows = IDS[None, :4]
        assert difference(model(rows).last_hidden_state, merged(rows).last_hidden_state) < 1e-5
    assert difference(model.train().encode_packed(IDS, LENGTHS), expected) < 1e-5


@pytest.mark.parametrize("checkpointing", [True, False])
def test_gradients_of_adapters_are_those_of_what_they_add(make, difference, checkpointing):
    """weight = base + scale * B A, so the gradients of A and B follow from that of the merged weight."""
    settings = LoraSettings(r=4, alpha=6, targets=TARGETS)
    model = make(settings).train()
    merged = merge(model, settings).train()
    if checkpointing:
        model.gradient_checkpointing_enable()
    for one in (model, merged):
        one.encode_packed(IDS, LENGTHS).square().sum().backward()
    whole = dict(merged.named_parameters())
    adapters = adapter_weights(model)
    for name, a in adapters.items():
        layer, is_a, _ = name.partition(".lora_A.")
        if is_a:
            b, gradient = adapters[f"{layer}.lora_B.weight"], 1.5 * whole[f"{layer}.weight"].grad
            assert difference(a.grad, b.T @ gradient) < 1e-4
            assert difference(b.grad, gradient @ a.T) < 1e-4
    assert all(weight.grad is None for weight in base_weights(model).values())


def test_new_adapters_change_nothing_and_learn_alone(make):
    model = make()
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    expected = model.encode_packed(IDS, LENGTHS)
    assert not has_lora(model)
    add_lora(model, LoraSettings())
    assert has_lora(model) and not model.training
    torch.testing.assert_close(model.encode_packed(IDS, LENGTHS), expected)
    assert base_weights(model).keys() == before.keys()
    assert all(torch.equal(weight, before[name]) for name, weight in base_weights(model).items())
    assert not any(weight.requires_grad for weight in base_weights(model).values())
    assert all(weight.requires_grad for weight in adapter_weights(model).values())


def test_shapes_are_known_before_they_are_made(make):
    settings = LoraSettings(r=5, targets=["dense", "dense_h_to_4h"])
    expected = adapter_shapes(make(), settings)
    assert {n: tuple(w.shape) for n, w in adapter_weights(make(settings)).items()} == expected
    assert len(expected) == 3 * 2 * 2


def test_the_adapters_of_the_last_layers(make):
    model = make(LoraSettings())
    set_trainable_layers(model, 1)
    freeze_base(model)
    learning = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert len(learning) == 4 and all(name.startswith("h.2.") and ".lora_" in name for name in learning)


@pytest.mark.parametrize(
    "settings",
    [
        {"r": 0},
        {"r": 2.5},
        {"alpha": 0},
        {"dropout": 1.0},
        {"targets": []},
        {"targets": ["lm_head"]},
        {"targets": "dense"},
        {"rank": 3},
        {"alpha": "16"},
        {"targets": 5},
    ],
)
def test_settings_out_of_range(settings):
    with pytest.raises(ConfigError, match="lora"):
        from_settings(LoraSettings, "lora", settings)


def test_without_peft(make, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ConfigError, match=r"spacy-bloom\[lora\]"):
        add_lora(make(), LoraSettings())
