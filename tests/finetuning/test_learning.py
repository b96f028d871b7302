import pytest
import torch

from spacy_bloom import BloomConfig, BloomModel
from spacy_bloom.errors import ConfigError
from spacy_bloom.finetuning.learning import LearningSettings, let_learn
from spacy_bloom.finetuning.lora import LoraSettings, adapter_weights, has_lora

CONFIG = BloomConfig(vocab_size=97, hidden_size=24, n_layer=3, n_head=3)
LORA = LoraSettings(r=2)


@pytest.mark.parametrize(
    "settings, layers, learns",
    [
        ({}, [None, None], [True, True]),
        ({"train_transformer": False}, [0, 0], [False, False]),
        ({"train_transformer": False, "mix_layers": True}, [0, 0], [True, True]),
        ({"trainable_layers": {"0": 0, "5": 2}}, [0, 2], [False, True]),
        ({"trainable_layers": {"0": 0, "5": 2}, "train_transformer": False}, [0, 0], [False, False]),
    ],
)
def test_what_learns_in_steps_0_and_5(settings, layers, learns):
    learning = LearningSettings(**settings)
    assert [learning.layers_at(step) for step in (0, 5)] == layers
    assert [learning.learns_at(step) for step in (0, 5)] == learns


@pytest.mark.parametrize("factor", [0.0, -0.5, 1.01, float("nan")])
def test_factors_out_of_range_are_refused(factor):
    with pytest.raises(ConfigError, match="layer_factor"):
        LearningSettings(layer_factor=factor)


def test_rates_fall_from_layer_to_layer():
    factor = LearningSettings(layer_factor=0.5).rate_factor
    names = (
        "ln_f.weight",
        "h.2.mlp.dense_h_to_4h.bias",
        "h.0.self_attention.dense.weight",
        "word_embeddings.weight",
    )
    assert [factor(name, 3) for name in names] == [1.0, 1.0, 0.25, 0.125]


def test_settings_without_effect():
    given = {"lora": LORA, "trainable_layers": 2, "layer_factor": 0.5}
    assert LearningSettings(**given).idle == []
    assert LearningSettings(**given, train_transformer=False).idle == [
        "lora",
        "trainable_layers",
        "layer_factor",
    ]
    assert LearningSettings(train_transformer=False).idle == []


@pytest.mark.parametrize("layers, n_blocks", [(0, 0), (1, 1), (2, 2), (None, 3)])
@pytest.mark.parametrize("lora", [None, LORA])
def test_gradients_are_those_of_what_learns(layers, n_blocks, lora):
    model = BloomModel(CONFIG)
    let_learn(model, layers, lora)
    assert has_lora(model) == (lora is not None and layers != 0)
    assert model.training == (layers != 0)
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    blocks = {name.split(".")[1] for name in learning if name.startswith("h.")}
    assert blocks == {str(i) for i in range(3 - n_blocks, 3)}
    if lora is not None:
        adapters = {id(p) for p in adapter_weights(model).values()}
        assert all(id(p) in adapters for p in model.parameters() if p.requires_grad)
    else:
        assert ("word_embeddings.weight" in learning) == (layers is None)


def test_adapters_are_put_in_once():
    model = BloomModel(CONFIG)
    let_learn(model, None, LORA)
    with torch.no_grad():
        for parameter in adapter_weights(model).values():
            parameter.fill_(0.5)
    let_learn(model, 1, LORA)
    assert all((parameter == 0.5).all() for parameter in adapter_weights(model).values())


@pytest.mark.parametrize("sparse", [True, False])
def test_an_embedding_gives_gradients_of_the_rows_that_were_read(sparse):
    model = BloomModel(CONFIG)
    let_learn(model, None, None, sparse_embeddings=sparse)
    model.encode_packed(torch.tensor([5, 9, 5]), [3]).sum().backward()
    gradient = model.word_embeddings.weight.grad
    assert gradient.is_sparse is sparse and gradient.shape == (97, 24)
    if sparse:
        assert gradient.coalesce().indices().tolist() == [[5, 9]]
