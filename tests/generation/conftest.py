"""A tiny random language model that ends its texts now and then."""

import pytest
import torch

from spacy_bloom import BloomConfig, BloomForCausalLM


@pytest.fixture(scope="session")
def language_model(randomize):
    config = BloomConfig(
        vocab_size=97, hidden_size=24, n_layer=2, n_head=3, pad_token_id=3, eos_token_id=2, bos_token_id=1
    )
    return randomize(BloomForCausalLM(config), std=0.15).eval()


@pytest.fixture
def draw_prompts():
    """A function that draws prompts of the given lengths."""

    def draw(*lengths, seed=0):
        generator = torch.Generator().manual_seed(seed)
        return [torch.randint(4, 97, (n,), generator=generator).tolist() for n in lengths]

    return draw
