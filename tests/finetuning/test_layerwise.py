import pytest
import torch

from spacy_bloom import BloomConfig, BloomModel
from spacy_bloom.errors import ConfigError
from spacy_bloom.finetuning.layerwise import LayerSchedule, layer_depth, set_trainable_layers

CONFIG = BloomConfig(vocab_size=97, hidden_size=24, n_layer=12, n_head=3)


def learning(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize(
    "name, depth",
    [
        ("ln_f.weight", 0),
        ("h.11.mlp.dense_h_to_4h.bias", 0),
        ("h.10.input_layernorm.weight", 1),
        ("h.1.self_attention.dense.weight", 10),
        ("h.0.self_attention.dense.weight", 11),
        ("word_embeddings_layernorm.weight", 12),
        ("word_embeddings.weight", 12),
    ],
)
def test_depth(name, depth):
    assert layer_depth(name, 12) == depth


def test_layers_are_counted_from_the_top():
    with torch.device("meta"):
        model = BloomModel(CONFIG)
    everything = learning(model)
    for layers, blocks in [(0, []), (1, [11]), (3, [9, 10, 11]), (12, range(12))]:
        set_trainable_layers(model, layers)
        expected = {n for n in everything if n.startswith(tuple(f"h.{i}." for i in blocks))}
        assert learning(model) == expected | ({"ln_f.weight", "ln_f.bias"} if layers else set())
    set_trainable_layers(model, None)
    assert learning(model) == everything


def test_a_layer_that_stops_learning_has_no_gradient():
    model = BloomModel(BloomConfig(vocab_size=97, hidden_size=24, n_layer=2, n_head=3))
    model.encode_packed(torch.arange(5), [5]).sum().backward()
    set_trainable_layers(model, 1)
    assert {n for n, p in model.named_parameters() if p.grad is not None} == learning(model)


def test_a_schedule():
    schedule = LayerSchedule({"10": 4, "0": 0, "200": None})
    assert [schedule.at(step) for step in (0, 9, 10, 199, 200, 10**6)] == [0, 0, 4, 4, None, None]
    schedule.check(4)
    with pytest.raises(ConfigError, match="at most 3"):
        schedule.check(3)


@pytest.mark.parametrize("layers", [None, 0, 3])
def test_one_number_for_all_steps(layers):
    assert LayerSchedule(layers).at(0) == LayerSchedule(layers).at(99) == layers


@pytest.mark.parametrize(
    "layers", [-1, True, 1.5, "2", {}, {"5": 1}, {"0": -1}, {"first": 1}, {"0": "all"}, {"-1": 0, "0": 1}]
)
def test_schedules_that_say_nothing(layers):
    with pytest.raises(ConfigError, match="trainable_layers"):
        LayerSchedule(layers)
