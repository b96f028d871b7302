import pytest

from spacy_bloom.errors import ConfigError
from spacy_bloom.pipeline.categorizing.settings import TextClassifierSettings


def test_defaults():
    assert vars(TextClassifierSettings()) == {
        "exclusive": None,
        "threshold": 0.5,
        "positive_label": None,
        "checkpoint": None,
        "temperature": 1.0,
    }


@pytest.mark.parametrize(
    "settings", [{"exclusive": "yes"}, {"threshold": None}, {"positive_label": 1}, {"temperature": 0}]
)
def test_wrong_settings(settings):
    (name,) = settings
    with pytest.raises(ConfigError, match=f"bloom_text_classifier: expected {name} to be"):
        TextClassifierSettings(**settings)
