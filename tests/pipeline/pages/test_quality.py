"""Pages say how good and how large what they show is."""

import pytest
import spacy
import torch

from spacy_bloom import BloomConfig, BloomForCausalLM, bundled_path
from spacy_bloom.pipeline.pages.quality import quality_of, readable_count, size_of
from spacy_bloom.published import published_config


def test_scores_of_a_trained_pipeline():
    meta = {"performance": {"ents_f": 0.5951, "cats_micro_f": 0.4858, "ents_per_type": {}, "tag_acc": None}}
    assert quality_of(meta) == "60% F of entities, 49% micro F of categories on development data"
    assert "F of entities" in quality_of(spacy.load(bundled_path("xx_bloom_tiny_demo")).meta)


@pytest.mark.parametrize("meta", [{}, {"performance": {}}, {"performance": {"loss": 3.0}}])
def test_a_pipeline_without_scores(meta):
    assert quality_of(meta) == ""


def test_the_number_of_parameters_is_that_of_the_model():
    config = BloomConfig(vocab_size=1000, hidden_size=1000, n_layer=2, n_head=4)
    with torch.device("meta"):
        count = sum(p.numel() for p in BloomForCausalLM(config).parameters())
    assert size_of(config).startswith(f"{count / 1e6:.0f} million parameters")
    assert size_of(published_config("bloom-560m")).startswith("559 million")
    assert size_of(published_config("bloom")).startswith("176 billion")


@pytest.mark.parametrize(
    ("count", "expected"),
    [(12, "12"), (5_034_000, "5 million"), (1_720_000_000, "1.7 billion"), (65_000, "65 thousand")],
)
def test_counts(count, expected):
    assert readable_count(count) == expected
