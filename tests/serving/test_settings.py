"""Limits are checked."""

import pytest

from spacy_bloom.errors import ConfigError
from spacy_bloom.serving.settings import ServingSettings


@pytest.mark.parametrize(
    "wrong", [{"max_length": 0}, {"timeout": 0}, {"batch_length": -1}, {"max_queue": 1.5}]
)
def test_wrong_values(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ServingSettings(**wrong)


def test_a_body_has_room_for_every_character_escaped():
    settings = ServingSettings(max_queue=10)
    assert settings.max_body > len(r"\u0905" * 10)
