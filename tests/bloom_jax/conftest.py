"""Models in both frameworks with the same weights. Compilation is most of what these tests take: programs are compiled
without optimization, and one model serves many tests.
"""

import numpy as np
import pytest
import torch

from spacy_bloom import BloomConfig, BloomForCausalLM


@pytest.fixture(scope="session", autouse=True)
def quick_compilation():
    jax = pytest.importorskip("jax", reason="jax is not installed: pip install spacy-bloom[jax].")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="session")
def pair(tmp_path_factory, randomize):
    """A function that makes a random language model in PyTorch and loads its files in JAX, once for each geometry."""
    from spacy_bloom.bloom_jax import FlaxBloomForCausalLM

    made = {}

    def make(**fields):
        key = tuple(sorted(fields.items()))
        if key not in made:
            path = tmp_path_factory.mktemp("jax")
            model = randomize(BloomForCausalLM(BloomConfig(**fields))).eval()
            model.save_pretrained(path)
            made[key] = model, FlaxBloomForCausalLM.from_pretrained(path)
        return made[key]

    return make


@pytest.fixture(scope="session")
def tiny(pair):
    """One such pair that many tests share."""
    return pair(n_head=3, hidden_size=24, n_layer=2, vocab_size=50, tie_word_embeddings=False)


@pytest.fixture(scope="session")
def batch():
    """A function that draws ids and a mask with padding on the left, on the right and nowhere."""

    def draw(vocab_size=50, length=12):
        ids = np.random.default_rng(0).integers(3, vocab_size, (3, length))
        mask = np.ones_like(ids)
        mask[1, :4] = 0
        mask[2, length - 5 :] = 0
        return ids, mask

    return draw


@pytest.fixture(scope="session")
def gap():
    """A function that measures how far JAX's numbers are from PyTorch's, relative to the largest there."""

    def measure(found, expected):
        found = np.asarray(found, np.float32)
        expected = expected.detach().numpy() if torch.is_tensor(expected) else np.asarray(expected)
        assert found.shape == expected.shape
        return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-9))

    return measure
