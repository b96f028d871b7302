"""A transformer that does not learn, in each way that a user may write it; its listeners do."""

import io

import numpy
import pytest
import spacy
import torch
from spacy.tokens import DocBin
from spacy.training.initialize import init_nlp
from spacy.training.loop import train
from spacy.util import fix_random_seed, load_config_from_str, load_model_from_config
from thinc.api import Adam

from spacy_bloom.errors import ListenerError
from spacy_bloom.thinc_layers.shim import BloomShim

HEADS = ["tagger", "ner", "textcat", "bloom_token_classifier"]
SETTING = {"model": {"train_transformer": False}}
LISTED = {"exclude": ["bloom_transformer"], "annotates": ["bloom_transformer"]}
WAYS = {"setting": (SETTING, {}), "listed": ({}, LISTED)}

CONFIG = """
[nlp]
lang = "xx"
pipeline = ["bloom_transformer", "tagger", "bloom_text_classifier"]

[components]

[components.bloom_transformer]
factory = "bloom_transformer"

[components.bloom_transformer.model]
@architectures = "spacy-bloom.TransformerModel.v1"
{setting}

[components.tagger]
factory = "tagger"

[components.tagger.model]
@architectures = "spacy.Tagger.v2"

[components.tagger.model.tok2vec]
@architectures = "{kind}.TransformerListener.v1"
grad_factor = 1.0

[components.tagger.model.tok2vec.pooling]
@layers = "reduce_mean.v1"

[components.bloom_text_classifier]
factory = "bloom_text_classifier"

[corpora]

[corpora.train]
@readers = "spacy.Corpus.v1"
path = {path}

[corpora.dev]
@readers = "spacy.Corpus.v1"
path = {path}

[training]
max_steps = 8
eval_frequency = 4
{listed}

[training.optimizer]
@optimizers = "Adam.v1"
learn_rate = 0.01
"""


def nodes(nlp):
    return [node for name, pipe in nlp.pipeline if name != "bloom_transformer" for node in pipe.model.walk()]


def head_weights(nlp):
    """The weights of all heads, in their order: two pipelines number their layers differently."""
    return [node.get_param(name).copy() for node in nodes(nlp) for name in node.param_names]


def learn(nlp, examples, steps=6, **options):
    optimizer = Adam(0.01)
    return [nlp.update(examples, sgd=optimizer, **options) for _ in range(steps)]


@pytest.mark.parametrize("kind", ["ours", "stock"])
@pytest.mark.parametrize("way", WAYS)
def test_heads_learn_and_it_does_not(make_nlp, make_examples, weights, monkeypatch, way, kind):
    options, update = WAYS[way]
    nlp = make_nlp(*HEADS, kind=kind, **options)
    before = weights(nlp)

    def compute_gradients(self, inputs):
        raise AssertionError("kept activations for a backward pass")

    monkeypatch.setattr(BloomShim, "begin_update", compute_gradients)
    losses = learn(nlp, make_examples(nlp), 10, **update)
    for head in HEADS:
        assert losses[-1][head] < 0.9 * losses[0][head], head
    assert losses[-1].get("bloom_transformer", 0.0) == 0.0
    module = nlp.get_pipe("bloom_transformer").model.shims[0].module
    assert not module.training
    assert all(parameter.grad is None for parameter in module.parameters())
    assert all(torch.equal(before[name], value) for name, value in weights(nlp).items())


def test_both_ways_are_the_same(make_nlp, make_examples):
    found = []
    for options, update in WAYS.values():
        fix_random_seed(0)
        nlp = make_nlp("tagger", "bloom_token_classifier", **options)
        losses = learn(nlp, make_examples(nlp), **update)
        found.append(([{head: step[head] for head in ("tagger",)} for step in losses], head_weights(nlp)))
    assert found[0][0] == found[1][0]
    for one, other in zip(found[0][1], found[1][1], strict=True):
        numpy.testing.assert_array_equal(one, other)


def test_the_vectors_are_those_of_prediction(make_nlp, make_examples):
    """Dropout of the transformer's own config is off, as in prediction."""
    nlp = make_nlp("tagger", **SETTING)
    module = nlp.get_pipe("bloom_transformer").model.shims[0].module
    for block in module.h:
        block.mlp.hidden_dropout = block.self_attention.hidden_dropout = 0.5
    read = []
    nlp.get_pipe("bloom_transformer").set_extra_annotations = lambda docs, batch: read.append(batch)
    nlp.update(make_examples(nlp, ["Ana lives in Lima"]), drop=0.5)
    with nlp.select_pipes(disable=["tagger"]):
        expected = nlp("Ana lives in Lima")._.trf_data.tensors[0]
    numpy.testing.assert_array_equal(read[0].doc_data[0].tensors[0], expected)


def test_frozen_and_not_annotating_says_what_to_write(make_nlp, make_examples):
    nlp = make_nlp("tagger")
    with pytest.raises(ListenerError, match="annotating_components too, or set train_transformer = false"):
        nlp.update(make_examples(nlp), exclude=["bloom_transformer"])


@pytest.mark.parametrize("kind", ["spacy-bloom", "spacy-transformers"])
@pytest.mark.parametrize("way", WAYS)
def test_a_fresh_config(make_examples, tmp_path, way, kind):
    nlp = spacy.blank("xx")
    corpus = tmp_path / "corpus.spacy"
    DocBin(docs=[example.reference for example in make_examples(nlp)]).to_disk(corpus)
    names = '["bloom_transformer"]'
    listed = f"frozen_components = {names}\nannotating_components = {names}" if way == "listed" else ""
    setting = "train_transformer = false" if way == "setting" else ""
    config = load_config_from_str(CONFIG.format(path=corpus, setting=setting, listed=listed, kind=kind))
    nlp = init_nlp(load_model_from_config(config, auto_fill=True).config)
    before = head_weights(nlp)
    trained, _ = train(nlp, tmp_path, stdout=io.StringIO(), stderr=io.StringIO())
    assert all(
        not numpy.array_equal(one, other) for one, other in zip(before, head_weights(trained), strict=True)
    )
    weights = trained.get_pipe("bloom_transformer").model.shims[0].module.state_dict()
    untouched = BloomShim("tiny-bloom").module.state_dict()
    assert all(torch.equal(untouched[name], value) for name, value in weights.items())
    loaded = spacy.load(tmp_path / "model-last")
    assert loaded("Ana lives in Lima .")[0].tag_ == "NAME"


def test_a_transformer_of_its_own_that_does_not_learn(make_nlp, make_examples, predictions):
    """A component keeps the setting when its listener is replaced."""
    nlp = make_nlp("tagger", **SETTING)
    learn(nlp, make_examples(nlp))
    expected = predictions(nlp)
    nlp.replace_listeners("bloom_transformer", "tagger", ["model.tok2vec"])
    assert nlp.config["components"]["tagger"]["model"]["tok2vec"]["train_transformer"] is False
    assert predictions(nlp) == expected
    module = next(node.shims[0] for node in nlp.get_pipe("tagger").model.walk() if node.shims).module
    before = {name: value.detach().clone() for name, value in module.named_parameters()}
    losses = learn(nlp, make_examples(nlp), 10)
    assert losses[-1]["tagger"] < losses[0]["tagger"]
    assert all(torch.equal(before[name], value) for name, value in module.named_parameters())
