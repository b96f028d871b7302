import pytest
import torch

from spacy_bloom.errors import ConfigError, InputError
from spacy_bloom.thinc_layers.weights.settings import AttentionSettings, WeightSettings


def test_dtypes(checkpoint):
    found = [WeightSettings(checkpoint, dtype=d).torch_dtype for d in ("float32", "bfloat16", "auto")]
    assert found == [torch.float32, torch.bfloat16, None]
    assert WeightSettings(checkpoint).torch_storage_dtype is None
    assert WeightSettings(checkpoint, storage_dtype="float16").torch_storage_dtype == torch.float16


@pytest.mark.parametrize("field", ["dtype", "storage_dtype"])
def test_unknown_dtypes_are_refused(field):
    with pytest.raises(InputError, match="Expected dtype"):
        WeightSettings("tiny-bloom", **{field: "float31"})


@pytest.mark.parametrize(
    "name, expected", [("tiny-bloom", 192), ("nobody/has-this", None), ("./no-directory", None)]
)
def test_the_config_as_far_as_it_is_here(name, expected):
    config = WeightSettings(name).read_config()
    assert (None if config is None else config.hidden_size) == expected


def test_a_damaged_config_is_none(tmp_path):
    (tmp_path / "config.json").write_text("{")
    assert WeightSettings(str(tmp_path)).read_config() is None


@pytest.mark.parametrize(
    "settings, layers, both_sides",
    [
        (("causal", None), 0, False),
        (("bidirectional", None), 4, True),
        (("bidirectional", 1), 1, True),
        (("bidirectional", 4), 4, True),
    ],
)
def test_layers_of_a_model_of_four(settings, layers, both_sides):
    attention = AttentionSettings(*settings)
    assert (attention.layers_of(4), attention.both_sides) == (layers, both_sides)


@pytest.mark.parametrize(
    "settings", [("both", None), ("causal", 1), ("bidirectional", 0), ("bidirectional", -1)]
)
def test_attention_that_there_is_not(settings):
    with pytest.raises(ConfigError, match="attention"):
        AttentionSettings(*settings)


def test_more_layers_than_there_are():
    with pytest.raises(ConfigError, match="at most 4"):
        AttentionSettings("bidirectional", 5).layers_of(4)
