"""A shared transformer whose adapters learn instead of its weights."""

import copy
import pickle
import warnings

import pytest
import spacy
import torch
from spacy.util import fix_random_seed
from thinc.api import Adam

from spacy_bloom import BloomModel
from spacy_bloom.errors import BloomWarning
from spacy_bloom.finetuning.lora import adapter_weights, base_weights, has_lora
from spacy_bloom.thinc_layers.language_model import LanguageModelShim
from spacy_bloom.thinc_layers.weights.settings import WeightSettings

LORA = {"r": 4, "alpha": 8, "targets": ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"]}


def module_of(nlp):
    return nlp.get_pipe("bloom_transformer").model.shims[0].module


@pytest.fixture
def make_trained(make_nlp, make_examples):
    """A function that trains a pipeline of a tagger with adapters. RETURNS: it, and the losses."""

    def make(steps=12, **model):
        fix_random_seed(0)
        nlp = make_nlp("tagger", model={"lora": {**LORA, **model}})
        optimizer = Adam(0.01)
        return nlp, [nlp.update(make_examples(nlp), sgd=optimizer) for _ in range(steps)]

    return make


def test_learns_and_is_saved(make_trained, make_nlp, predictions, tmp_path):
    nlp, losses = make_trained(dropout=0.1)
    assert losses[-1]["tagger"] < 0.7 * losses[0]["tagger"]
    original = dict(module_of(make_nlp("tagger")).named_parameters())
    assert all(torch.equal(weight, original[name]) for name, weight in base_weights(module_of(nlp)).items())
    assert all(weight.abs().max() > 0 for weight in adapter_weights(module_of(nlp)).values())
    expected = predictions(nlp)
    nlp.to_disk(tmp_path / "nlp")
    loaded = spacy.load(tmp_path / "nlp")
    assert has_lora(module_of(loaded)) and predictions(loaded) == expected
    assert predictions(type(nlp).from_config(nlp.config).from_bytes(nlp.to_bytes())) == expected


def test_who_reads_the_weights_alone_is_told_of_the_adapters(make_trained, make_nlp, tmp_path):
    nlp, _ = make_trained(2)
    nlp.to_disk(tmp_path / "nlp")
    path = tmp_path / "nlp" / "bloom_transformer" / "model"
    for load in (BloomModel.from_pretrained, lambda p: LanguageModelShim(WeightSettings(str(p))).load()):
        with pytest.warns(BloomWarning, match="adapters in .* are not read"):
            load(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", BloomWarning)
        module_of(spacy.load(tmp_path / "nlp"))  # reads them
        make_nlp("tagger").to_disk(tmp_path / "nlp")  # and takes them away
        BloomModel.from_pretrained(path)
    assert not (path / "adapter").exists()


def test_merged_and_saved(make_trained, predictions, tmp_path):
    nlp, _ = make_trained(merge=True)
    nlp.to_disk(tmp_path / "nlp")
    loaded = spacy.load(tmp_path / "nlp")
    assert not has_lora(module_of(loaded))
    for one, other in zip(predictions(loaded), predictions(nlp), strict=True):
        assert one["tokens"] == other["tokens"]


def test_the_same_seed_gives_the_same_adapters(make_trained):
    one, other = (adapter_weights(module_of(make_trained(3)[0])) for _ in range(2))
    assert all(torch.equal(weight, other[name]) for name, weight in one.items())


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_go_on_learning_apart(make_trained, make_examples, predictions, duplicate):
    nlp, _ = make_trained(4)
    expected = predictions(nlp)
    copied = duplicate(nlp)
    assert predictions(copied) == expected
    before = {n: w.detach().clone() for n, w in adapter_weights(module_of(nlp)).items()}
    copied.update(make_examples(copied), sgd=Adam(0.01))
    assert all(torch.equal(w, before[n]) for n, w in adapter_weights(module_of(nlp)).items())
    assert not torch.equal(*(next(iter(adapter_weights(module_of(x)).values())) for x in (nlp, copied)))


def test_a_listener_replaced_keeps_its_adapters(make_trained, predictions):
    nlp, _ = make_trained(4)
    expected = predictions(nlp)
    nlp.replace_listeners("bloom_transformer", "tagger", ["model.tok2vec"])
    assert predictions(nlp) == expected
    again = type(nlp).from_config(nlp.config).from_bytes(nlp.to_bytes())
    assert predictions(again) == expected
