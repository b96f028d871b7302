"""Batches are counted by part and outcome, in a registry for each service."""

from spacy_bloom.serving.metrics import Metrics


def test_counting():
    metrics, other = Metrics(), Metrics()
    results = metrics.counting("annotation", lambda: [{}, ValueError("x"), {}], [3, 4, 5])
    assert len(results) == 3
    text, media_type = metrics.exposition()
    lines = text.decode("utf8").splitlines()
    assert 'spacy_bloom_texts_total{outcome="done",part="annotation"} 2.0' in lines
    assert 'spacy_bloom_texts_total{outcome="failed",part="annotation"} 1.0' in lines
    assert 'spacy_bloom_characters_total{part="annotation"} 12.0' in lines
    assert 'spacy_bloom_batch_texts_sum{part="annotation"} 3.0' in lines
    assert media_type.startswith("text/plain")
    assert b'part="annotation"' not in other.exposition()[0]


def test_requests_are_timed():
    metrics = Metrics()
    with metrics.timed_request():
        pass
    assert b"spacy_bloom_request_seconds_count 1.0" in metrics.exposition()[0]
