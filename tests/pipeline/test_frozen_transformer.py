"""A transformer that does not learn, in each way that a user may write it; its listeners do."""

import gc
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
from spacy_bloom.thinc_layers.weights.settings import WeightSettings
from spacy_bloom.thinc_layers.weights.shim import BloomShim

TEXTS = ["Ana lives in Lima near Rio .", "今天 Wei 在 Paris 。", "The café in Lisboa", "No names here at all"]
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
    fix_random_seed(0)
    nlp = make_nlp(*HEADS, kind=kind, **options)
    before = weights(nlp)

    def compute_gradients(self, inputs):
        raise AssertionError("kept activations for a backward pass")

    monkeypatch.setattr(BloomShim, "begin_update", compute_gradients)
    losses = learn(nlp, make_examples(nlp), 15, **update)
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


@pytest.mark.parametrize("way, kind", [("setting", "spacy-transformers"), ("listed", "spacy-bloom")])
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
    untouched = BloomShim(WeightSettings("tiny-bloom")).module.state_dict()
    assert all(torch.equal(untouched[name], value) for name, value in weights.items())
    loaded = spacy.load(tmp_path / "model-last")
    assert loaded("Ana lives in Lima .")[0].tag_ == "NAME"


def test_a_transformer_of_its_own_that_does_not_learn(make_nlp, make_examples, predictions):
    """A component keeps the setting when its listener is replaced."""
    fix_random_seed(0)
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


# Vectors of training texts, computed once


def epochs(nlp, examples, n_epochs=3):
    """RETURNS: The losses of every batch of every epoch."""
    optimizer, losses = Adam(0.01), []
    for _ in range(n_epochs):
        for start in range(0, len(examples), 4):
            losses.append(nlp.update(examples[start : start + 4], sgd=optimizer, drop=0.2))
    return losses


@pytest.fixture
def computed(monkeypatch):
    """The lengths of all sequences that a frozen transformer runs on."""
    lengths = []
    predict = BloomShim.predict

    def spy(self, inputs):
        lengths.extend(inputs[1])
        return predict(self, inputs)

    monkeypatch.setattr(BloomShim, "predict", spy)
    return lengths


def reusing(window=24, **settings):
    return {"model": {"train_transformer": False, "reuse": settings}, "window": window}


def without_and_with(make_nlp, make_examples, computed, settings):
    """Train the same without and with reuse. RETURNS: Losses and heads, and pieces that were computed."""
    found, counts = [], []
    for options in ({"model": {"train_transformer": False}}, reusing(**settings)):
        fix_random_seed(0)
        nlp = make_nlp("tagger", "ner", "textcat", **options)
        examples = make_examples(nlp, ["", *TEXTS, "Ana Rio " * 20, "Omar", " "])
        computed.clear()
        found.append((epochs(nlp, examples), head_weights(nlp)))
        counts.append(sum(computed))
    return found, counts


@pytest.mark.parametrize("settings", [{}, {"disk": True}], ids=["memory", "disk"])
def test_reuse_changes_no_number(make_nlp, make_examples, computed, settings):
    """Losses and heads are bit for bit those without it."""
    found, counts = without_and_with(make_nlp, make_examples, computed, settings)
    assert found[0][0] == found[1][0]
    for one, other in zip(found[0][1], found[1][1], strict=True):
        numpy.testing.assert_array_equal(one, other)
    assert 3 * counts[1] == counts[0]


def test_what_does_not_fit_is_computed_in_every_epoch(make_nlp, make_examples, computed):
    """In other batches than without reuse, where products are rounded differently."""
    found, counts = without_and_with(make_nlp, make_examples, computed, {"max_mb": 0.003})
    for one, other in zip(found[0][0], found[1][0], strict=True):
        assert one == pytest.approx(other, rel=1e-5)
    for one, other in zip(found[0][1], found[1][1], strict=True):
        numpy.testing.assert_allclose(one, other, atol=1e-4)
    assert counts[0] / 3 < counts[1] < counts[0]


def test_changed_weights_give_no_stale_vectors(make_nlp, make_examples):
    nlp = make_nlp("tagger", **reusing())
    pipe = nlp.get_pipe("bloom_transformer")
    examples = make_examples(nlp)
    epochs(nlp, examples, 1)
    for change in ("in place", "from bytes"):
        if change == "in place":
            with torch.no_grad():
                pipe.model.shims[0].module.h[0].mlp.dense_4h_to_h.bias.add_(0.5)
        else:
            pipe.model.shims[0].from_disk(pipe.model.shims[0].weights.name)
        read = []
        pipe.set_extra_annotations = lambda docs, batch, read=read: read.append(batch)
        epochs(nlp, examples[:1], 1)
        expected = pipe.model.copy().predict([examples[0].reference]).doc_data[0].tensors[0]
        numpy.testing.assert_allclose(read[0].doc_data[0].tensors[0], expected, atol=1e-5)


def test_evaluation_reads_them_too_and_a_loaded_pipeline_keeps_none(
    make_nlp, make_examples, computed, predictions, tmp_path
):
    nlp = make_nlp("tagger", **reusing())
    epochs(nlp, make_examples(nlp), 1)
    predictions(nlp)
    computed.clear()
    expected = predictions(nlp)
    assert computed == []
    nlp.to_disk(tmp_path / "nlp")
    loaded = spacy.load(tmp_path / "nlp")
    assert predictions(loaded) == predictions(loaded) == expected
    assert len(computed) > 0 and not loaded.get_pipe("bloom_transformer").model.attrs["reuse"].started


def test_a_later_run_computes_nothing(make_nlp, make_examples, computed, tmp_path):
    for run in range(3):
        options = reusing(path=str(tmp_path), window=24 if run < 2 else 12)
        nlp = make_nlp("tagger", **options)
        computed.clear()
        epochs(nlp, make_examples(nlp), 1)
        assert (len(computed) == 0) == (run == 1)
        del nlp
        gc.collect()


def test_a_component_with_a_frozen_transformer_of_its_own_reuses(make_nlp, make_examples, computed):
    nlp = make_nlp("tagger", **reusing())
    nlp.replace_listeners("bloom_transformer", "tagger", ["model.tok2vec"])
    nlp.remove_pipe("bloom_transformer")
    examples = make_examples(nlp)
    epochs(nlp, examples, 1)
    computed.clear()
    epochs(nlp, examples)
    assert computed == []


# Mixed layers, the only thing that learns below the heads


@pytest.mark.parametrize("kind", ["ours", "stock"])
def test_mixed_layers_learn_from_all_listeners(make_nlp, make_examples, predictions, weights, kind, tmp_path):
    fix_random_seed(0)
    nlp = make_nlp("tagger", "ner", kind=kind, model={"train_transformer": False, "mix_layers": True})
    before = weights(nlp)
    losses = learn(nlp, make_examples(nlp), 10)
    assert losses[-1]["tagger"] < 0.9 * losses[0]["tagger"]
    assert losses[-1]["bloom_transformer"] > 0
    assert all(torch.equal(before[name], value) for name, value in weights(nlp).items())
    mix = nlp.get_pipe("bloom_transformer").model.shims[0].encoder.layer_mix
    assert mix.weights.detach().abs().min() > 0 and mix.scale != 1.0
    expected = predictions(nlp)
    nlp.to_disk(tmp_path / "nlp")
    assert predictions(spacy.load(tmp_path / "nlp")) == expected
    assert predictions(type(nlp).from_config(nlp.config).from_bytes(nlp.to_bytes())) == expected
