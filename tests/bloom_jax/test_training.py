import numpy as np
import pytest
import torch

jax = pytest.importorskip("jax", reason="jax is not installed: pip install spacy-bloom[jax].")
import optax

from spacy_bloom.bloom_jax import FlaxBloomForCausalLM, TrainState, lm_loss, train_step
from spacy_bloom.bloom_jax.training import CHUNK


@pytest.fixture
def trained(pair, tmp_path):
    """A pair whose weights no other test reads: steps give them up."""
    model, _ = pair(n_head=3, hidden_size=24, n_layer=2, vocab_size=50)
    model.save_pretrained(tmp_path)
    return type(model).from_pretrained(tmp_path), FlaxBloomForCausalLM.from_pretrained(tmp_path)


def torch_loss(model, ids, mask, labels):
    return model(torch.tensor(ids), attention_mask=torch.tensor(mask), labels=torch.tensor(labels)).loss


@pytest.mark.parametrize("remat", [False, True])
def test_steps_equal_torch(remat, trained, batch, gap):
    model, twin = trained
    ids, mask = batch()
    labels = np.where(mask != 0, ids, -100)
    optimizer = optax.sgd(0.05, momentum=0.9)
    torch_optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    state = TrainState.create(twin, optimizer)
    for step in range(3):
        torch_optimizer.zero_grad()
        loss = torch_loss(model, ids, mask, labels)
        loss.backward()
        expected = loss.item()
        torch_optimizer.step()
        state, found = train_step(twin, optimizer, state, ids, attention_mask=mask, remat=remat)
        assert abs(float(found) - expected) < 1e-5 * expected
        assert int(state.step) == step + 1
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    assert all(gap(state.params[name], weights[name]) < 1e-5 for name in weights)


def test_loss_in_chunks_is_the_whole(tiny, batch):
    model, twin = tiny
    ids, mask = batch(length=2 * CHUNK + 3)
    labels = np.where(mask != 0, ids, -100)
    labels[0, 5:60] = -100
    with torch.no_grad():
        expected = float(torch_loss(model, ids, mask, labels))
    found = jax.jit(lambda *batch: lm_loss(twin.config, twin.params, *batch))(ids, mask, labels)
    assert abs(float(found) - expected) < 1e-5 * expected


def test_dropout_is_another_at_every_step(trained, batch):
    _, twin = trained
    twin.config = twin.config.replace(hidden_dropout=0.3)
    ids, mask = batch()
    optimizer = optax.sgd(0.0)
    losses = []
    state = TrainState.create(twin, optimizer)
    for _ in range(2):
        state, loss = train_step(
            twin, optimizer, state, ids, attention_mask=mask, dropout_rng=jax.random.key(0), remat=False
        )
        losses.append(float(loss))
    assert losses[0] != losses[1]  # with the same weights
