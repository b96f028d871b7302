import pytest

from spacy_bloom import BloomConfig
from spacy_bloom.checkpoint.names import decoder_shapes
from spacy_bloom.checkpoint.quantized import float_columns, int8_layers, quantization_method
from spacy_bloom.errors import ConfigError

GEOMETRY = dict(vocab_size=50, hidden_size=8, n_layer=2, n_head=2)


def config(entry):
    return BloomConfig(**GEOMETRY, quantization=entry)


def test_a_config_without_the_entry_is_not_quantised():
    assert quantization_method(BloomConfig(**GEOMETRY)) is None
    assert quantization_method(config({"method": "int8"})) == "int8"


@pytest.mark.parametrize("entry", ["int8", {}, {"method": 8}, ["method"]])
def test_an_entry_without_a_method_is_refused(entry):
    with pytest.raises(ConfigError, match="with a method, got"):
        quantization_method(config(entry))


def test_layers_are_those_of_all_blocks_and_the_head():
    names = int8_layers(2)
    assert len(names) == len(set(names)) == 9 and names[-1] == "lm_head"
    assert set(names[:-1]) <= {
        name.removesuffix(".weight") for name in decoder_shapes(BloomConfig(**GEOMETRY))
    }


def test_columns_reach_as_far_as_a_layer_is_wide():
    columns = {"h.1.mlp.dense_4h_to_h": [0, 31], "h.0.mlp.dense_h_to_4h": [7], "lm_head": [3]}
    assert float_columns(config({"method": "int8", "float_columns": columns})) == columns
    with pytest.raises(ConfigError, match="0 to 7 in order"):
        float_columns(config({"method": "int8", "float_columns": {"h.0.mlp.dense_h_to_4h": [8]}}))


def test_scales_and_columns_stand_beside_the_integers():
    columns = {"h.1.mlp.dense_4h_to_h": [0, 31, 30][:1]}
    shapes = decoder_shapes(config({"method": "int8", "float_columns": columns}))
    plain = decoder_shapes(BloomConfig(**GEOMETRY))
    added = {name: shape for name, shape in shapes.items() if name not in plain}
    assert plain.items() <= shapes.items()
    assert added.pop("h.1.mlp.dense_4h_to_h.float_weight") == (8, 1)
    assert added.pop("word_embeddings.weight_scale") == (50,)
    assert added == {f"{name}.weight_scale": plain[f"{name}.weight"][:1] for name in int8_layers(2)[:-1]}
