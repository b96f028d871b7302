import numpy as np
import pytest
import torch

jax = pytest.importorskip("jax", reason="jax is not installed: pip install spacy-bloom[jax].")
import jax.numpy as jnp

import spacy_bloom
from spacy_bloom import BloomConfig, BloomForCausalLM, BloomModel
from spacy_bloom.bloom_jax import FlaxBloomForCausalLM, FlaxBloomModel
from spacy_bloom.bloom_jax.model import run
from spacy_bloom.errors import ConfigError, InputError


def test_classes_are_reachable_from_the_package():
    assert spacy_bloom.FlaxBloomForCausalLM is FlaxBloomForCausalLM
    assert spacy_bloom.FlaxBloomModel is FlaxBloomModel
    with pytest.raises(AttributeError, match="FlaxBloomForNothing"):
        _ = spacy_bloom.FlaxBloomForNothing


def test_decoder_equals_torch(tiny, batch, gap, tmp_path):
    model, _ = tiny
    model.save_pretrained(tmp_path)
    ids, mask = batch()
    with torch.no_grad():
        expected = BloomModel.from_pretrained(tmp_path)(torch.tensor(ids), attention_mask=torch.tensor(mask))
    found = FlaxBloomModel.from_pretrained(tmp_path)(ids, mask)
    assert gap(found.last_hidden_state, expected.last_hidden_state) < 1e-5


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_saves_the_bytes_that_torch_saves(dtype, tiny, tmp_path):
    model, _ = tiny
    model.save_pretrained(tmp_path / "torch", dtype=dtype, max_shard_size="10KB")
    loaded = FlaxBloomForCausalLM.from_pretrained(tmp_path / "torch", dtype="auto")
    assert loaded.dtype == jnp.dtype(dtype)
    loaded.save_pretrained(tmp_path / "jax", max_shard_size="10KB")
    files = sorted(path.name for path in (tmp_path / "torch").iterdir())
    assert len(files) > 3
    assert files == sorted(path.name for path in (tmp_path / "jax").iterdir())
    for name in files:
        assert (tmp_path / "torch" / name).read_bytes() == (tmp_path / "jax" / name).read_bytes()


def test_what_is_trained_here_runs_there(tiny, batch, gap, tmp_path):
    _, twin = tiny
    changed = {name: weight + 0.1 for name, weight in twin.params.items()}
    ids, mask = batch()
    twin.save_pretrained(tmp_path, params=changed)
    with torch.no_grad():
        expected = BloomForCausalLM.from_pretrained(tmp_path)(
            torch.tensor(ids), attention_mask=torch.tensor(mask)
        )
    assert gap(twin(ids, mask, params=changed).logits, expected.logits) < 1e-5
    transformers = pytest.importorskip("transformers", reason="transformers is not installed.")
    theirs = transformers.BloomForCausalLM.from_pretrained(tmp_path)
    assert (
        gap(theirs(torch.tensor(ids), attention_mask=torch.tensor(mask)).logits.detach(), expected.logits)
        < 1e-5
    )


@pytest.mark.parametrize("dtype, close", [("bfloat16", 2e-2), ("float16", 2e-3)])
def test_half_precision_is_close(dtype, close, tiny, batch, gap):
    _, twin = tiny
    ids, mask = batch()
    params = {name: weight.astype(dtype) for name, weight in twin.params.items()}
    found = twin(ids, mask, params=params).logits
    assert found.dtype == jnp.dtype(dtype)
    assert gap(found, np.asarray(twin(ids, mask).logits)) < close


def test_random_weights_are_bloom_s():
    config = BloomConfig(vocab_size=300, hidden_size=64, n_layer=1, n_head=4)
    model = FlaxBloomModel(config, seed=1, dtype=jnp.bfloat16)
    assert model.dtype == jnp.bfloat16
    assert model.num_parameters() == BloomModel(config).num_parameters()
    matrix = np.asarray(model.params["word_embeddings.weight"], np.float32)
    assert abs(matrix.std() - config.initializer_range) < 1e-3
    assert (model.params["ln_f.weight"] == 1).all() and (model.params["ln_f.bias"] == 0).all()


def test_a_new_length_is_not_compiled_anew(tiny, gap):
    _, twin = tiny
    ids = np.arange(48).reshape(2, 24)
    whole = twin(ids, output_attentions=True)
    programs = run._cache_size()
    for length in (17, 20, 23):
        part = twin(ids[:, :length], output_attentions=True)
        assert gap(part.logits, whole.logits[:, :length]) < 1e-5
        assert part.attentions[0].shape == (2, 3, length, length)
    assert run._cache_size() == programs


def test_padding_is_as_in_torch_whatever_fills_the_bucket(tiny, batch, gap):
    model, twin = tiny
    ids, mask = batch(length=19)
    with torch.no_grad():
        expected = model(torch.tensor(ids), attention_mask=torch.tensor(mask)).logits
    assert gap(twin(ids, mask).logits, expected) < 1e-5  # also of pieces that see nothing but padding


def test_works_under_jit_and_vmap(tiny, batch, gap):
    _, twin = tiny
    ids, mask = batch()
    expected = twin(ids, mask).logits
    call = jax.jit(jax.vmap(lambda ids, mask: twin(ids, mask).logits))
    found = call(np.stack([ids, ids]), np.stack([mask, mask]))
    assert gap(found[0], expected) < 1e-5 and gap(found[1], expected) < 1e-5


def test_dropout_needs_a_key_and_keeps_the_expectation(tiny, batch, gap):
    _, twin = tiny
    ids, mask = batch()
    expected = twin(ids, mask).logits
    assert gap(twin(ids, mask, train=True).logits, expected) == 0.0  # the config has none
    other = FlaxBloomForCausalLM.__new__(FlaxBloomForCausalLM)
    other._set_up(twin.config.replace(hidden_dropout=0.2, attention_dropout=0.1), None)
    other.params = twin.params
    with pytest.raises(InputError, match="dropout_rng"):
        other(ids, mask, train=True)
    keys = [jax.random.key(seed) for seed in (0, 0, 1)]
    first, same, new = (other(ids, mask, dropout_rng=key, train=True).logits for key in keys)
    assert gap(first, same) == 0.0 and gap(first, new) > 1e-2
    assert gap(other(ids, mask, dropout_rng=keys[0]).logits, expected) < 1e-5


def test_return_dict_false_is_a_tuple(tiny, batch):
    _, twin = tiny
    ids, mask = batch()
    cache = twin.init_cache(3, 16)
    logits, past, states = twin(ids, mask, cache, output_hidden_states=True, return_dict=False)
    assert logits.shape == (3, 12, 50) and int(past.index) == 12 and len(states) == 3


def test_a_mask_of_all_columns_will_do(tiny, batch, gap):
    _, twin = tiny
    ids, mask = batch()
    whole = np.ones((3, 16), int)  # as Hugging Face's Flax classes have it: 1 where nothing is yet
    whole[:, :12] = mask
    expected = twin(ids, mask, twin.init_cache(3, 16))
    found = twin(ids, whole, twin.init_cache(3, 16))
    assert gap(found.logits, expected.logits) == 0.0


def test_wrong_arguments_are_named(tiny, tmp_path):
    _, twin = tiny
    with pytest.raises(InputError, match="float32.*float64"):
        FlaxBloomForCausalLM(twin.config, dtype="float64")
    with pytest.raises(ConfigError, match=r"config\.json"):
        FlaxBloomForCausalLM.from_pretrained(tmp_path)
