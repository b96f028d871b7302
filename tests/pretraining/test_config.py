import math

import pytest

from spacy_bloom.errors import ConfigError
from spacy_bloom.pretraining.config import learning_rate


def test_learning_rate(make_config):
    config = make_config(learning_rate=2.0, warmup_steps=4, learning_rate_floor=0.1)
    assert [learning_rate(step, 0.0, config) for step in (0, 1, 3, 9)] == [0.5, 1.0, 2.0, 2.0]
    assert learning_rate(50, 0.5, config) == pytest.approx(1.1)
    assert learning_rate(99, 1.0, config) == pytest.approx(0.2)


@pytest.mark.parametrize(
    "values",
    [
        {"max_steps": 0},
        {"learning_rate": -1.0},
        {"learning_rate": math.nan},
        {"beta2": 1.0},
        {"accumulate_gradient": 0},
        {"save_dtype": "int8"},
    ],
)
def test_training_config_out_of_range(make_config, values):
    with pytest.raises(ConfigError, match=next(iter(values))):
        make_config(**values)
