"""Entities have probabilities where the pipeline's classifier can tell them."""

import pytest
import spacy

from spacy_bloom import bundled_path
from spacy_bloom.cli.pages.entity_scores import entity_scores, keep_probabilities


def test_probabilities_of_entities():
    nlp = spacy.load(bundled_path("xx_bloom_tiny_demo"))
    text = "Clara Mendes nasceu em Coimbra."
    plain = nlp(text)
    keep_probabilities(nlp)
    doc = nlp(text)
    assert [(e.start, e.label_) for e in doc.ents] == [(e.start, e.label_) for e in plain.ents]
    found = entity_scores(doc)
    assert list(found) == [e.start for e in doc.ents] and all(
        0.5 < score <= 1.0 + 1e-6 for score in found.values()
    )
    tags = [token._.bloom_tag_probabilities for token in doc.ents[0]]
    assert found[0] == pytest.approx(sum(t["B-PER"] + t["I-PER"] for t in tags) / 2)
    assert entity_scores(plain) == {}


def test_another_pipeline_has_none():
    nlp = spacy.blank("xx")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "PER", "pattern": "Ana"}])
    keep_probabilities(nlp)
    assert entity_scores(nlp("Ana")) == {}
