import pytest

pytest.importorskip("jax", reason="jax is not installed: pip install spacy-bloom[jax].")

from spacy_bloom.bloom_jax.buckets import bucket


def test_lengths_fit_closely_and_are_few():
    sizes = {bucket(length) for length in range(1, 2049)}
    assert sorted(sizes) == [16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048]
    assert all(length <= bucket(length) for length in range(1, 2049))
    assert all(bucket(length) <= 1.5 * length for length in range(16, 2049))
