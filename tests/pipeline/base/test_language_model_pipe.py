"""The weights that a component generates with: its own, or those of a transformer in its pipeline."""

import copy
import gc
import pickle

import pytest
import spacy
from spacy.tokens import Doc
from thinc.api import Model

from spacy_bloom.errors import ConfigError
from spacy_bloom.pipeline.base.language_model_pipe import LanguageModelPipe, Upstream
from spacy_bloom.thinc_layers.language_model import create_language_model


class Counting(LanguageModelPipe):
    """Writes how many Docs were predicted together."""

    def predict(self, docs):
        docs = list(docs)
        return [len(docs)] * len(docs)

    def set_annotations(self, docs, predictions):
        for doc, count in zip(docs, predictions, strict=True):
            doc.user_data["together"] = count


@pytest.fixture
def nlp(checkpoint):
    nlp = spacy.blank("xx")
    nlp.add_pipe("bloom_transformer", config={"model": {"name": checkpoint}})
    return nlp


@pytest.fixture
def make(nlp, checkpoint):
    def make_pipe(**options):
        return Counting(nlp, create_language_model(checkpoint), "counting", **options)

    return make_pipe


def test_docs_are_predicted_in_batches(make, nlp):
    docs = [Doc(nlp.vocab, words=["a"]) for _ in range(5)]
    found = list(make().pipe(iter(docs), batch_size=2))
    assert found == docs and [doc.user_data["together"] for doc in found] == [2, 2, 2, 2, 1]
    assert make()(docs[0]) is docs[0] and docs[0].user_data["together"] == 1


def test_its_own_model_is_loaded_on_first_use(make):
    pipe = make(size=3)
    assert pipe.cfg == {"size": 3} and not pipe.model.shims[0].loaded
    assert not pipe.language_model.training and pipe.model.shims[0].loaded
    assert len(pipe.tokenizer) <= pipe.language_model.config.vocab_size


def test_an_upstreams_decoder_is_used_as_it_is(make, nlp):
    pipe = make(upstream="bloom_transformer")
    shim = nlp.get_pipe("bloom_transformer").model.shims[0]
    assert pipe.language_model.transformer is shim.module and pipe.tokenizer is shim.tokenizer
    assert pipe.language_model is pipe.language_model
    assert not pipe.model.shims[0].loaded, "its own model is not needed"


@pytest.mark.parametrize("way", ["pickle", "copy"])
def test_a_copy_without_its_pipeline_keeps_the_transformer(make, nlp, way):
    pipe = make(upstream="bloom_transformer")
    pipe = copy.deepcopy(pipe) if way == "copy" else pickle.loads(pickle.dumps(pipe))
    del nlp
    gc.collect()
    assert pipe.language_model.config.vocab_size > 0


def test_the_pipeline_is_not_kept_alive(checkpoint):
    nlp = spacy.blank("xx")
    upstream = Upstream(nlp, "bloom_transformer")
    del nlp
    gc.collect()
    with pytest.raises(ConfigError, match="got 'bloom_transformer': no component of that name"):
        upstream.shim()


def test_wrong_models_and_upstreams_are_named(make, nlp):
    with pytest.raises(ConfigError, match="spacy-bloom.LanguageModel.v2, got 'other'"):
        Counting(nlp, Model("other", lambda *args: None), "counting")
    nlp.add_pipe("sentencizer")
    with pytest.raises(ConfigError, match="got 'sentencizer': Sentencizer"):
        make(upstream="sentencizer").tokenizer  # noqa: B018


@pytest.mark.parametrize("upstream", [None, "bloom_transformer"])
def test_saving_writes_only_its_own_weights(make, tmp_path, upstream):
    pipe = make(upstream=upstream)
    pipe.to_disk(tmp_path / "pipe")
    assert (tmp_path / "pipe" / "model").exists() == (upstream is None)
    make(upstream=upstream).from_disk(tmp_path / "pipe")
    again = make(upstream=upstream).from_bytes(pipe.to_bytes())
    assert again.language_model.config == pipe.language_model.config
