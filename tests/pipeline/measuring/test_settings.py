import pytest

from spacy_bloom.errors import ConfigError
from spacy_bloom.pipeline.measuring.settings import SurprisalSettings


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"max_batch_items": 0}, "bloom_surprisal: expected max_batch_items"),
        ({"bos": 1}, "bloom_surprisal: expected bos"),
        ({"window": 8, "context": 8}, "context < window"),
        ({"attr": ""}, "names of extensions"),
        ({"bits_per_byte_attr": "perplexity"}, "two different ones"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        SurprisalSettings(**settings)


def test_nothing_need_be_written_on_docs():
    settings = SurprisalSettings(perplexity_attr=None, bits_per_byte_attr=None)
    assert (settings.attr, settings.perplexity_attr) == ("surprisal", None)
