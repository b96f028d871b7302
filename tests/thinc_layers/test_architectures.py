import numpy
import pytest
import spacy
from thinc.api import reduce_first, reduce_mean

from spacy_bloom.errors import ConfigError
from spacy_bloom.finetuning.learning import LearningSettings
from spacy_bloom.finetuning.lora import LoraSettings
from spacy_bloom.thinc_layers.architectures import (
    create_tok2vec_transformer,
    create_transformer_listener,
    create_transformer_model,
    create_transformer_model_v2,
)
from spacy_bloom.thinc_layers.pieces.windows import WindowSettings
from spacy_bloom.thinc_layers.transformer_model import bloom_shim
from spacy_bloom.thinc_layers.weights.settings import AttentionSettings, WeightSettings

LEARNING = {"trainable_layers": 1, "layer_factor": 0.5, "mix_layers": True, "gradient_checkpointing": True}
TEXT = "Ana lives in Lima near Rio ."


@pytest.mark.parametrize("create", [create_transformer_model, create_transformer_model_v2])
def test_every_setting_arrives(checkpoint, create):
    model = create(
        checkpoint,
        window=32,
        context=8,
        dtype="bfloat16",
        storage_dtype="float16",
        revision="main",
        attention="bidirectional",
        bidirectional_layers=1,
        lora={"r": 2},
        **LEARNING,
    )
    shim = bloom_shim(model)
    assert shim.weights == WeightSettings(checkpoint, "main", "bfloat16", "float16")
    assert shim.attention == AttentionSettings("bidirectional", 1)
    assert shim.learning == LearningSettings(lora=LoraSettings(r=2), **LEARNING)
    assert model.attrs["windows"] == WindowSettings(32, 8, both_sides=True)
    assert model.attrs["reuse"] is None and not shim.loaded


def test_vectors_are_stored_on_request(checkpoint):
    model = create_transformer_model(checkpoint, train_transformer=False, reuse={"max_mb": 3})
    assert model.attrs["reuse"].config.max_mb == 3
    with pytest.raises(ConfigError, match="reuse"):
        create_transformer_model(checkpoint, train_transformer=False, reuse={"size": 3})


@pytest.mark.parametrize(
    "pooling, rows", [(reduce_mean, lambda r: r.mean(axis=0)), (reduce_first, lambda r: r[0])]
)
def test_a_transformer_of_ones_own_pools_its_pieces(checkpoint, pooling, rows):
    doc = spacy.blank("xx")(TEXT)
    model = create_tok2vec_transformer(pooling(), checkpoint, window=16, context=4)
    model.initialize()
    (found,) = model.predict([doc])
    data = create_transformer_model(checkpoint, window=16, context=4).predict([doc]).doc_data[0]
    states, ends = data.tensors[0][0], numpy.cumsum(data.align.lengths)
    pieces = [data.align.dataXd[end - n : end] for end, n in zip(ends, data.align.lengths, strict=True)]
    numpy.testing.assert_allclose(found, [rows(states[part]) for part in pieces], atol=1e-5)


def test_a_listener_knows_its_transformers_name():
    model = create_transformer_listener(reduce_mean(), upstream="second")
    assert model.get_ref("listener").upstream_name == "second"
