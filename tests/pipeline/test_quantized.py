"""Pipelines with int8 weights."""

import numpy
import pytest
import spacy
import torch
from spacy.training import Example

from spacy_bloom.errors import CheckpointError, ConfigError
from spacy_bloom.quantization.layers import Int8Linear

TEXTS = [
    "The river was high in spring.",
    "O café está frio.",
    "今天天气很好",
    "",
    "Leo asubuhi watoto walikwenda.",
]


def make(checkpoint, *, components=("tagger",), **model):
    nlp = spacy.blank("xx")
    settings = {"@architectures": "spacy-bloom.TransformerModel.v2", "name": checkpoint, **model}
    nlp.add_pipe("bloom_transformer", config={"model": settings, "keep_activations": True})
    if "tagger" in components:
        tagger = nlp.add_pipe("bloom_token_classifier", config={"target": "tag"})
        for label in ("A", "B"):
            tagger.add_label(label)
        spacy.util.fix_random_seed(0)
        nlp.initialize(lambda: examples(nlp))
    return nlp


def examples(nlp):
    doc = nlp.make_doc("The river was high")
    return [Example.from_dict(doc, {"tags": ["A", "B", "A", "B"]})]


def vectors(nlp):
    rows = [doc._.trf_data.model_output.last_hidden_state[0] for doc in nlp.pipe(TEXTS) if len(doc)]
    return numpy.concatenate(rows)


def decoder(nlp):
    return nlp.get_pipe("bloom_transformer").model.shims[0].module


def test_vectors_are_near_those_in_float(checkpoint):
    exact, found = vectors(make(checkpoint)), vectors(make(checkpoint, quantization="int8"))
    assert 0 < numpy.linalg.norm(found - exact) / numpy.linalg.norm(exact) < 0.05


def test_a_doc_does_not_depend_on_its_neighbours(checkpoint):
    nlp = make(checkpoint, quantization="int8")
    together = [doc._.trf_data for doc in nlp.pipe(TEXTS, batch_size=5)]
    for text, data in zip(TEXTS, together, strict=True):
        if text:
            alone = nlp(text)._.trf_data.model_output.last_hidden_state
            assert numpy.abs(alone - data.model_output.last_hidden_state).max() < 1e-5


@pytest.mark.parametrize("way", ["disk", "bytes"])
def test_a_saved_pipeline_stays_quantised(checkpoint, tmp_path, way):
    nlp = make(checkpoint, quantization="int8")
    expected = vectors(nlp), [[t.tag_ for t in doc] for doc in nlp.pipe(TEXTS)]
    if way == "disk":
        nlp.to_disk(tmp_path)
        size = (tmp_path / "bloom_transformer" / "model" / "model.safetensors").stat().st_size
        assert size < 2 * decoder(nlp).num_parameters()
        again = spacy.load(tmp_path)
    else:
        again = spacy.blank("xx").from_config(nlp.config).from_bytes(nlp.to_bytes())
    assert numpy.array_equal(vectors(again), expected[0])
    assert [[t.tag_ for t in doc] for doc in again.pipe(TEXTS)] == expected[1]
    assert isinstance(decoder(again).h[0].mlp.dense_h_to_4h, Int8Linear)


@pytest.mark.parametrize("method", ["float16", "bfloat16"])
def test_a_pipeline_keeps_weights_in_16_bits(checkpoint, tmp_path, method):
    nlp = make(checkpoint, quantization=method)
    exact = vectors(make(checkpoint))
    assert 0 < numpy.linalg.norm(vectors(nlp) - exact) / numpy.linalg.norm(exact) < 0.02
    nlp.to_disk(tmp_path)
    size = (tmp_path / "bloom_transformer" / "model" / "model.safetensors").stat().st_size
    assert size < 3 * decoder(nlp).num_parameters()
    again = spacy.load(tmp_path)
    assert numpy.array_equal(vectors(again), vectors(nlp))
    assert decoder(again).h[0].mlp.dense_h_to_4h.weight.dtype == getattr(torch, method)


def test_a_pipeline_trained_in_float_can_be_loaded_in_int8(checkpoint, tmp_path):
    nlp = make(checkpoint)
    for _ in range(2):
        nlp.update(examples(nlp), sgd=nlp.create_optimizer())
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path, config={"components.bloom_transformer.model.quantization": "int8"})
    exact, found = vectors(nlp), vectors(again)
    assert 0 < numpy.linalg.norm(found - exact) / numpy.linalg.norm(exact) < 0.05


def test_integers_do_not_learn(checkpoint):
    nlp = make(checkpoint, quantization="int8")
    with pytest.raises(ConfigError, match="lora"):
        nlp.update(examples(nlp), sgd=nlp.create_optimizer())


def test_what_listens_learns_on_integers(checkpoint):
    nlp = make(checkpoint, quantization="int8", train_transformer=False)
    before = vectors(nlp)
    optimizer, losses = nlp.create_optimizer(), []
    for _ in range(5):
        found: dict = {}
        nlp.update(examples(nlp), sgd=optimizer, losses=found)
        losses.append(found["bloom_token_classifier"])
    assert losses[-1] < losses[0]
    assert numpy.array_equal(vectors(nlp), before)


def test_adapters_learn_beside_integers(checkpoint, tmp_path):
    pytest.importorskip("peft")
    nlp = make(checkpoint, quantization="int8", lora={"r": 2})
    integers = decoder(nlp).h[0].mlp.dense_h_to_4h.weight.clone()
    before, optimizer = vectors(nlp), nlp.create_optimizer()
    for _ in range(3):
        nlp.update(examples(nlp), sgd=optimizer)
    assert not numpy.array_equal(vectors(nlp), before)
    assert torch.equal(decoder(nlp).h[0].mlp.dense_h_to_4h.weight, integers)
    nlp.to_disk(tmp_path)
    assert numpy.allclose(vectors(spacy.load(tmp_path)), vectors(nlp), atol=1e-6)


def test_adapters_are_not_merged_into_integers(checkpoint, tmp_path):
    pytest.importorskip("peft")
    nlp = make(checkpoint, quantization="int8", lora={"r": 2, "merge": True})
    nlp.update(examples(nlp), sgd=nlp.create_optimizer())
    with pytest.raises(CheckpointError, match="merge = false"):
        nlp.to_disk(tmp_path)


def language_model(checkpoint, **settings):
    nlp = spacy.blank("xx")
    model = {"@architectures": "spacy-bloom.LanguageModel.v2", "name": checkpoint, "quantization": "int8"}
    nlp.add_pipe("bloom_surprisal", config={"model": model, **settings})
    nlp.add_pipe(
        "bloom_text_generator", config={"prompt": "{{ doc.text }}", "max_new_tokens": 4, "model": model}
    )
    return nlp


def test_scores_and_text_with_integers(checkpoint, tmp_path):
    nlp = language_model(checkpoint)
    doc = nlp(TEXTS[0])
    assert doc._.generated and doc._.perplexity > 1
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)(TEXTS[0])
    assert again._.generated == doc._.generated and again._.perplexity == doc._.perplexity


def test_holders_of_the_same_integers_share_them(checkpoint):
    nlp = make(checkpoint, components=(), quantization="int8")
    nlp.add_pipe(
        "bloom_surprisal",
        config={
            "model": {
                "@architectures": "spacy-bloom.LanguageModel.v2",
                "name": checkpoint,
                "quantization": "int8",
            }
        },
    )
    nlp("The river")
    model = nlp.get_pipe("bloom_surprisal").model.shims[0].module
    assert (
        model.transformer.word_embeddings.weight.data_ptr() == decoder(nlp).word_embeddings.weight.data_ptr()
    )
    assert model.lm_head.weight.data_ptr() == decoder(nlp).word_embeddings.weight.data_ptr()


def test_a_component_reads_the_integers_of_its_transformer(checkpoint):
    nlp = make(checkpoint, components=(), quantization="int8")
    nlp.add_pipe("bloom_surprisal", config={"upstream": "bloom_transformer"})
    alone = language_model(checkpoint)
    assert nlp(TEXTS[0])._.perplexity == pytest.approx(alone(TEXTS[0])._.perplexity, rel=1e-6)


def test_unknown_methods_are_refused(checkpoint):
    with pytest.raises(ConfigError, match="int8.*got 'int5'"):
        make(checkpoint, quantization="int5")
