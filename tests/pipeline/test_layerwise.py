"""Layers of the shared transformer that learn at their own time and rate."""

from itertools import pairwise

import numpy
import pytest
import torch
from spacy.util import fix_random_seed
from thinc.api import SGD, Adam, RAdam

from spacy_bloom.errors import BloomWarning, ConfigError
from spacy_bloom.finetuning.layerwise import layer_depth

N_LAYER = 2


@pytest.fixture
def step(make_nlp, make_examples, weights):
    """A function that trains some steps. RETURNS: the weights before and after each."""

    def run(n_steps=3, optimizer=None, **model):
        fix_random_seed(0)
        nlp = make_nlp("tagger", model=model)
        optimizer = Adam(0.01) if optimizer is None else optimizer
        examples = make_examples(nlp)
        for _ in range(2):  # a fresh output layer is zero and gives no gradient
            nlp.update(
                examples, sgd=optimizer, exclude=["bloom_transformer"], annotates=["bloom_transformer"]
            )
        states = [weights(nlp)]
        for _ in range(n_steps):
            nlp.update(examples, sgd=optimizer)
            states.append(weights(nlp))
        return states

    return run


def changed(before, after):
    """RETURNS: How many layers from the top on have changed; layers below are the same bit for bit."""
    depths = {layer_depth(name, N_LAYER) for name in before if not torch.equal(before[name], after[name])}
    same = {layer_depth(name, N_LAYER) for name in before if torch.equal(before[name], after[name])}
    assert not depths & same and depths == set(range(len(depths)))
    return len(depths)


@pytest.mark.parametrize("layers, expected", [(0, 0), (1, 1), (2, 2), (None, 3)])
@pytest.mark.parametrize("checkpointing", [True, False])
def test_the_last_layers_learn(step, layers, expected, checkpointing):
    states = step(trainable_layers=layers, gradient_checkpointing=checkpointing)
    assert changed(states[0], states[-1]) == expected


def test_layer_after_layer(step):
    states = step(6, trainable_layers={"0": 0, "1": 1, "3": 2, "5": None})
    assert [changed(a, b) for a, b in pairwise(states)] == [0, 1, 1, 2, 2, 3]


def test_steps_count_where_a_component_is_updated_alone(make_nlp, make_examples):
    nlp = make_nlp("tagger", model={"trainable_layers": {"0": 0, "2": None}})
    pipe, examples, learns = nlp.get_pipe("bloom_transformer"), make_examples(nlp), []
    for _ in range(4):
        learns.append(pipe.model.shims[0].learns)
        pipe.update(examples, sgd=Adam(0.01))
    assert learns == [False, False, True, True]


def test_layers_can_stop(step):
    states = step(4, trainable_layers={"0": None, "2": 1})
    assert [changed(a, b) for a, b in pairwise(states)] == [3, 3, 1, 1]


def test_a_factor_of_one_is_plain_training(step):
    plain, factor, scheduled = step(), step(layer_factor=1.0), step(trainable_layers={"0": None})
    for name, value in plain[-1].items():
        assert torch.equal(value, factor[-1][name]) and torch.equal(value, scheduled[-1][name])


@pytest.mark.parametrize("optimizer", [Adam, SGD])
def test_each_layer_learns_at_its_rate(step, optimizer):
    """The first step of every weight is its layer's part of what it is without a factor, under Adam too."""
    plain = step(1, optimizer(0.001, L2=0.0))
    scaled = step(1, optimizer(0.001, L2=0.0), layer_factor=0.5)
    for name, before in plain[0].items():
        whole, part = plain[1][name] - before, scaled[1][name] - before
        factor = 0.5 ** layer_depth(name, N_LAYER)
        assert whole.abs().max() > 0
        torch.testing.assert_close(part, factor * whole, atol=2e-7, rtol=1e-3)


@pytest.mark.parametrize(
    "settings, idle",
    [
        ({"trainable_layers": 2, "layer_factor": 0.9}, "trainable_layers and layer_factor"),
        ({"lora": {}}, "lora"),
    ],
)
def test_settings_of_learning_where_nothing_learns(make_nlp, settings, idle):
    with pytest.warns(BloomWarning, match=f"Got {idle} with train_transformer = false"):
        make_nlp("tagger", model={"train_transformer": False, **settings})


def test_an_optimizer_that_takes_no_factors(step):
    with pytest.raises(ConfigError, match=r"layer_factor = 0.5 and the optimizer RAdam.v1"):
        step(1, RAdam(0.001), layer_factor=0.5)
    step(1, RAdam(0.001))


@pytest.mark.parametrize("factor", [0.0, -0.5, 1.5])
def test_factors_out_of_range(make_nlp, factor):
    with pytest.raises(ConfigError, match="layer_factor"):
        make_nlp(initialize=False, model={"layer_factor": factor})


def test_more_layers_than_there_are(make_nlp):
    with pytest.raises(ConfigError, match="trainable_layers of at most 2"):
        make_nlp("tagger", model={"trainable_layers": 3})


def test_vectors_of_before_a_change_are_not_reused_after_it(make_nlp, make_examples):
    nlp = make_nlp("tagger", model={"trainable_layers": {"0": 0, "3": 2, "5": 0}, "reuse": {}})
    pipe = nlp.get_pipe("bloom_transformer")
    examples, optimizer, read = make_examples(nlp), Adam(0.01), []
    pipe.set_extra_annotations = lambda docs, batch: read.append(batch.doc_data[0].tensors[0].copy())
    for _ in range(7):
        nlp.update(examples, sgd=optimizer)
    first, _, _, changed, again = read
    assert numpy.array_equal(changed, again) and not numpy.allclose(first, changed)
    expected = pipe.model.copy().predict([examples[0].reference]).doc_data[0].tensors[0]
    numpy.testing.assert_allclose(changed, expected, atol=1e-5)


def test_vectors_are_reused_until_the_transformer_learns(make_nlp, make_examples, weights):
    nlp = make_nlp("tagger", model={"trainable_layers": {"0": 0, "2": 1}, "reuse": {}})
    examples, optimizer = make_examples(nlp), Adam(0.01)
    before = weights(nlp)
    losses = [nlp.update(examples, sgd=optimizer)["bloom_transformer"] for _ in range(4)]
    assert losses[:2] == [0.0, 0.0] and losses[2] > 0 and losses[3] > 0
    assert changed(before, weights(nlp)) == 1
