import pytest
import torch

jax = pytest.importorskip("jax", reason="jax is not installed: pip install spacy-bloom[jax].")
import jax.numpy as jnp

from spacy_bloom import BloomConfig, BloomForCausalLM
from spacy_bloom.bloom_jax import FlaxBloomForCausalLM
from spacy_bloom.bloom_jax.files import to_jax_dtype, to_numpy, to_torch
from spacy_bloom.errors import CheckpointError, InputError


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_weights_survive_the_way_there_and_back(dtype):
    weight = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).to(getattr(torch, dtype))
    there = jnp.asarray(to_numpy(weight))
    assert there.dtype == to_jax_dtype(dtype)
    assert torch.equal(to_torch(there), weight)


@pytest.mark.parametrize("dtype", ["float64", "int8", "bf16", None])
def test_other_dtypes_are_errors(dtype):
    with pytest.raises(InputError, match="float32"):
        to_jax_dtype(dtype)


def test_wrong_weights_are_listed(tmp_path):
    model = BloomForCausalLM(BloomConfig(n_head=1, hidden_size=4, n_layer=1, vocab_size=9))
    model.save_pretrained(tmp_path)
    deeper = model.config.replace(n_layer=2, vocab_size=10)
    with pytest.raises(CheckpointError) as error:
        FlaxBloomForCausalLM.from_pretrained(tmp_path, config=deeper)

    assert "missing: transformer.h.1.input_layernorm.weight (4,)" in str(error.value)
    assert "misshapen: transformer.word_embeddings.weight is (9, 4)" in str(error.value)


def test_a_head_of_its_own_is_not_lost(tmp_path):
    config = BloomConfig(n_head=1, hidden_size=4, n_layer=1, vocab_size=9, tie_word_embeddings=False)
    BloomForCausalLM(config).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="tie_word_embeddings=False"):
        FlaxBloomForCausalLM.from_pretrained(tmp_path, config=config.replace(tie_word_embeddings=True))
