import shutil

import numpy
import pytest
import torch
from spacy.tokens import Doc
from spacy.vocab import Vocab
from thinc.api import Adam

from spacy_bloom.finetuning.learning import LearningSettings
from spacy_bloom.thinc_layers.pieces.windows import WindowSettings
from spacy_bloom.thinc_layers.transformer_model import bloom_shim, bloom_transformer_model
from spacy_bloom.thinc_layers.weights.settings import WeightSettings
from spacy_bloom.thinc_layers.weights.shim import BloomShim

WINDOWS = WindowSettings(64, 8)


DOCS = [Doc(Vocab(), words=["The", "river", "今天", "café"]), Doc(Vocab(), words=["a"])]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_averages_of_an_optimizer(vectors, checkpoint, dtype):
    """Inside `use_params` the weights are those that it says, also the mixture's; outside they are their own."""
    shim = BloomShim(WeightSettings(checkpoint, dtype=dtype), learning=LearningSettings(mix_layers=True))
    model, optimizer = bloom_transformer_model(shim, WINDOWS), Adam(0.1, use_averages=True)
    for _ in range(3):
        output, backprop = model.begin_update(DOCS)
        backprop(output)
        model.finish_update(optimizer)
    own = {name: weight.detach().clone() for name, weight in shim.named_weights()}
    expected = {name: torch.from_numpy(optimizer.averages[shim.id, name]).to(own[name].dtype) for name in own}
    assert any(not torch.equal(own[name], expected[name]) for name in own)
    before, identity = vectors(shim), shim.digest
    with pytest.raises(KeyError), model.use_params(optimizer.averages):
        assert all(torch.equal(weight, expected[name]) for name, weight in shim.named_weights())
        assert numpy.abs(vectors(shim) - before).max() > 1e-3 and shim.digest != identity
        raise KeyError
    assert all(torch.equal(weight, own[name]) for name, weight in shim.named_weights())
    numpy.testing.assert_array_equal(vectors(shim), before)
    assert shim.digest == identity
    with BloomShim(WeightSettings(checkpoint)).use_params(optimizer.averages):
        pass  # nothing is loaded for it


def step(model, optimizer):
    """One update that makes the vectors' squares smaller. RETURNS: their mean before it."""
    output, backprop = model.begin_update(DOCS)
    rows = [[data.tensors[0] * 0.1] for data in output.doc_data]
    backprop(output.unsplit_by_doc(rows))
    model.finish_update(optimizer)
    return float(numpy.mean([(row[0] ** 2).mean() for row in rows]))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_training_in_any_dtype(checkpoint, dtype):
    model = bloom_transformer_model(BloomShim(WeightSettings(checkpoint, dtype=dtype)), WINDOWS)
    model.initialize()
    optimizer = Adam(0.01)
    found = [step(model, optimizer) for _ in range(15)]
    assert found[-1] < 0.7 * found[0]
    assert bloom_shim(model).module.dtype == getattr(torch, dtype)


def test_small_changes_are_not_lost_in_bfloat16(checkpoint):
    """A change of a thousandth rounds to nothing in bfloat16 at 1.0; fifty of them do not."""
    model = bloom_transformer_model(BloomShim(WeightSettings(checkpoint, dtype="bfloat16")), WINDOWS)
    model.initialize()
    weight = bloom_shim(model).module.ln_f.weight
    with torch.no_grad():
        weight.fill_(1.0)
    optimizer = Adam(1e-3, L2=0.0, grad_clip=0.0)
    step(model, optimizer)
    assert torch.equal(weight.data, torch.ones_like(weight))
    for _ in range(49):
        step(model, optimizer)
    assert (weight.data < 0.98).float().mean() > 0.5


def test_training_never_writes_into_the_checkpoint(vectors, checkpoint, tmp_path):
    """Weights are mapped from the file; changing them changes the memory of this process only."""
    path = tmp_path / "checkpoint"
    shutil.copytree(checkpoint, path)
    before = (path / "model.safetensors").read_bytes()
    model = bloom_transformer_model(BloomShim(WeightSettings(str(path))), WINDOWS)
    model.initialize()
    start = vectors(bloom_shim(model))
    optimizer = Adam(0.01)
    for _ in range(2):
        step(model, optimizer)
    assert numpy.abs(vectors(bloom_shim(model)) - start).max() > 1e-3
    assert (path / "model.safetensors").read_bytes() == before


def test_finishing_an_update_before_the_weights_are_loaded(checkpoint):
    shim = BloomShim(WeightSettings(checkpoint))
    shim.finish_update(Adam(0.01))
    assert not shim.loaded


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_sparse_embeddings_learn_as_dense_ones_do_and_the_rest_alike(checkpoint, dtype):
    ids, trained = torch.tensor([4, 9, 4, 30, 7]), []
    for sparse in (False, True):
        learning = LearningSettings(sparse_embeddings=sparse)
        shim = BloomShim(WeightSettings(checkpoint, dtype=dtype), learning=learning)
        shim.load()
        before = shim.module.word_embeddings.weight.detach().clone()
        optimizer = Adam(0.01, L2=0.0, grad_clip=0.0)
        for _ in range(3):  # the same rows in each step: momentum has nothing else to move
            hidden, backprop = shim.begin_update((ids, [3, 2]))
            backprop(torch.linspace(-1, 1, hidden.numel()).view(hidden.shape))
            shim.finish_update(optimizer)
        assert all(weight.grad is None for weight in shim.module.parameters())
        trained.append({name: weight.detach().clone() for name, weight in shim.module.named_parameters()})
    for name, weight in trained[0].items():
        torch.testing.assert_close(trained[1][name], weight, msg=name)
    read = torch.zeros(len(before), dtype=torch.bool)
    read[ids] = True
    after = trained[1]["word_embeddings.weight"]
    assert torch.equal(after[~read], before[~read]) and (after[read] != before[read]).any(dim=1).all()
