import copy
import gc
import pickle
import warnings
import weakref

import numpy
import pytest
import spacy
import srsly
import torch
from spacy.kb import InMemoryLookupKB
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from spacy_transformers.data_classes import TransformerData
from spacy_transformers.layers import TransformerListener
from thinc.api import Adam

from spacy_bloom.errors import ConfigError, ListenerError
from spacy_bloom.pipeline.transformer import BloomTransformer

TEXT = "Ana lives in Lima near Rio ."


def vectors(doc):
    return doc._.trf_data.tensors[0][0]


# Activations on the Doc


@pytest.mark.parametrize(
    "factories", [["tagger"], ["tagger", "ner"], ["tagger", "bloom_token_classifier", "spancat"]]
)
def test_the_last_reader_takes_the_activations_away(make_nlp, factories):
    nlp = make_nlp(*factories)
    assert nlp(TEXT)._.trf_data is None
    assert [doc._.trf_data for doc in nlp.pipe([TEXT, " ", "a b"], batch_size=2)] == [None] * 3
    doc = nlp.make_doc(TEXT)
    for name, pipe in nlp.pipeline:
        doc = pipe(doc)
        assert (doc._.trf_data is None) == (name == factories[-1])


def test_they_stay_when_nothing_listens(make_nlp):
    nlp = make_nlp(initialize=False)
    assert vectors(nlp(TEXT)).shape[1] == 32
    assert all(len(vectors(doc)) for doc in nlp.pipe([TEXT, "a"]))


def test_they_stay_on_request(make_nlp):
    nlp = make_nlp("tagger", keep_activations=True)
    assert len(vectors(nlp(TEXT))) and all(len(vectors(doc)) for doc in nlp.pipe([TEXT, "a"]))


def test_they_stay_with_stock_listeners(make_nlp):
    assert len(vectors(make_nlp("tagger", kind="stock")(TEXT)))


def test_they_stay_with_listeners_of_both_kinds(make_nlp, stock_config, make_examples):
    nlp = make_nlp("tagger")
    nlp.add_pipe("ner", config=stock_config("ner", "stock"))
    nlp.initialize(lambda: make_examples(nlp))
    assert len(vectors(nlp(TEXT)))


@pytest.mark.parametrize("disabled", ["tagger", "ner"])
def test_a_disabled_component_is_not_waited_for(make_nlp, disabled):
    nlp = make_nlp("tagger", "ner")
    with nlp.select_pipes(disable=[disabled]):
        assert nlp(TEXT)._.trf_data is None
        assert [doc._.trf_data for doc in nlp.pipe([TEXT, "a"])] == [None, None]
    assert nlp(TEXT)._.trf_data is None
    with nlp.select_pipes(disable=["tagger", "ner"]):
        assert len(vectors(nlp(TEXT)))


@pytest.mark.parametrize("removed", ["tagger", "ner"])
def test_a_removed_component_is_not_waited_for(make_nlp, removed):
    nlp = make_nlp("tagger", "ner")
    nlp.remove_pipe(removed)
    gc.collect()
    assert nlp(TEXT)._.trf_data is None


@pytest.mark.parametrize("in_order", [True, False])
def test_two_transformers(make_nlp, add_transformer, make_examples, listener, in_order):
    """Each with its own listener. A Doc holds one output at a time, so the order matters, and is checked."""
    nlp = make_nlp(initialize=False)
    for name, upstream in (("one", "bloom_transformer"), ("two", "second")):
        if name == "two":
            add_transformer(nlp, name="second")
        model = {"@architectures": "spacy.Tagger.v2", "tok2vec": listener(upstream=upstream)}
        nlp.add_pipe("tagger", name=name, config={"model": model, "overwrite": True})
    nlp.initialize(lambda: make_examples(nlp))
    assert [len(nlp.get_pipe(name).listeners) for name in ("bloom_transformer", "second")] == [1, 1]
    if in_order:
        assert nlp.update(make_examples(nlp), sgd=Adam(0.01)).keys() == {
            "bloom_transformer",
            "one",
            "second",
            "two",
        }
        assert nlp(TEXT)._.trf_data is None
    else:
        doc = nlp.get_pipe("second")(nlp.get_pipe("bloom_transformer")(nlp.make_doc(TEXT)))
        with pytest.raises(ListenerError, match="got that of 'second'"):
            nlp.get_pipe("one")(doc)


def test_nothing_of_a_stream_stays_in_memory(make_nlp):
    nlp = make_nlp("tagger", "bloom_token_classifier")
    seen = []
    read = BloomTransformer.set_annotations

    def spy(self, docs, predictions):
        seen.extend(weakref.ref(data.model_output) for data in predictions.doc_data)
        read(self, docs, predictions)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BloomTransformer, "set_annotations", spy)
        docs = list(nlp.pipe([TEXT] * 40, batch_size=8))
    gc.collect()
    assert len(docs) == len(seen) == 40
    assert [ref() for ref in seen] == [None] * 40


# Reading without the transformer


def test_a_listener_never_makes_vectors_up(make_nlp):
    nlp = make_nlp("tagger")
    with nlp.select_pipes(disable=["bloom_transformer"]):
        with pytest.raises(ListenerError, match="Add the transformer before"):
            nlp(TEXT)
        with pytest.raises(ListenerError, match="annotating_components"):
            nlp.update([Example.from_dict(nlp.make_doc("a b"), {"tags": ["NAME", "WORD"]})])
    nlp("Ana")


def test_tokens_merged_after_the_transformer(make_nlp):
    """Vectors would stand on the wrong tokens."""
    nlp = make_nlp("tagger")
    doc = nlp.get_pipe("bloom_transformer")(nlp.make_doc(TEXT))
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[0:2])
    with pytest.raises(ListenerError, match="vectors of 6 tokens .* got those of 7: its tokens were merged"):
        nlp.get_pipe("tagger")(doc)


def test_a_text_classifier_reads_pieces(checkpoint):
    """It does not mind."""
    nlp = spacy.blank("xx")
    nlp.add_pipe("bloom_transformer", config={"model": {"name": checkpoint}})
    classifier = nlp.add_pipe("bloom_text_classifier")
    examples = [Example.from_dict(nlp.make_doc(t), {"cats": {"a": t == "b", "b": t != "b"}}) for t in "bc"]
    nlp.initialize(lambda: examples)
    doc = nlp.get_pipe("bloom_transformer")(nlp.make_doc(TEXT))
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[0:2])
    assert classifier(doc).cats == nlp(TEXT).cats


def test_a_listener_says_which_transformer_it_misses(make_nlp, listener):
    nlp = make_nlp(initialize=False)
    model = {"@architectures": "spacy-bloom.TokenClassifier.v1", "tok2vec": listener(upstream="other")}
    nlp.add_pipe("bloom_token_classifier", config={"model": model})
    assert nlp.get_pipe("bloom_transformer").listeners == []
    with pytest.raises(ListenerError, match="'other'"):
        next(iter(nlp.get_pipe("bloom_token_classifier").model.layers[0].predict([nlp.make_doc("a b")])))


def test_a_second_reading_says_what_to_do(make_nlp):
    nlp = make_nlp("tagger")
    doc = nlp(TEXT)
    with pytest.raises(ListenerError, match="keep_activations = true"):
        nlp.get_pipe("tagger")(doc)


def test_a_disabled_listener_and_another(make_nlp):
    nlp = make_nlp("tagger", "ner")
    expected = [t.tag_ for t in nlp(TEXT)]
    with nlp.select_pipes(disable=["ner"]):
        assert [t.tag_ for t in nlp(TEXT)] == expected


# Results and batches


@pytest.mark.parametrize("batch_size", [1, 3, 100])
@pytest.mark.parametrize("max_batch_items", [1, 50, 4096])
def test_vectors_do_not_depend_on_the_stream(make_nlp, batch_size, max_batch_items):
    nlp = make_nlp(initialize=False, max_batch_items=max_batch_items)
    texts = [TEXT, "", "今天 café", "  \n", "a", "Ana Rio " * 30, TEXT]
    docs = list(nlp.pipe(texts, batch_size=batch_size))
    assert [doc.text for doc in docs] == texts
    for doc in docs:
        alone = nlp(doc.text)
        if len(doc):
            numpy.testing.assert_allclose(vectors(doc), vectors(alone), atol=1e-5)
        else:
            assert not doc._.trf_data.tensors
        assert len(doc._.trf_data.align.lengths) == len(doc)
        assert all(doc._.trf_data.align.lengths > 0)


@pytest.mark.parametrize("max_batch_items", [0, -5])
def test_a_budget_below_one_is_refused(make_nlp, max_batch_items):
    with pytest.raises(ConfigError, match="max_batch_items"):
        make_nlp(initialize=False, max_batch_items=max_batch_items)


@pytest.mark.parametrize("window, context", [(0, 0), (8, 8), (8, -1)])
def test_windows_without_room_are_refused(make_nlp, window, context):
    with pytest.raises(ConfigError, match="context < window"):
        make_nlp(initialize=False, window=window, context=context)


def test_another_architecture_is_refused(make_nlp):
    nlp = spacy.blank("xx")
    with pytest.raises(ConfigError, match=r"spacy-bloom\.TransformerModel\.v2"):
        BloomTransformer(nlp.vocab, TransformerListener("*"))


def test_extra_annotations_are_set(make_nlp):
    nlp = make_nlp(initialize=False)
    seen = []
    nlp.get_pipe("bloom_transformer").set_extra_annotations = lambda docs, batch: seen.append((docs, batch))
    doc = nlp(TEXT)
    ((docs, batch),) = seen
    assert docs == [doc] and batch.doc_data[0] is doc._.trf_data
    assert batch.model_output.last_hidden_state.shape[0] == 1


# Learning


def module_of(nlp):
    return nlp.get_pipe("bloom_transformer").model.shims[0].module


def gradients(nlp):
    return {name: p.grad.clone() for name, p in module_of(nlp).named_parameters() if p.grad is not None}


def train_output_layers(nlp, examples):
    """A few steps with a frozen transformer: fresh output layers are zero and give no gradient."""
    optimizer = Adam(0.01)
    for _ in range(3):
        nlp.update(examples, sgd=optimizer, exclude=["bloom_transformer"], annotates=["bloom_transformer"])
    module_of(nlp).zero_grad(set_to_none=True)


def test_the_gradients_of_several_listeners_add_up(make_nlp, make_examples):
    """Together they give the sum of what they give one by one, with windows and an empty Doc in the batch."""
    nlp = make_nlp("tagger", "morphologizer", "bloom_token_classifier", window=10, context=3)
    examples = make_examples(nlp)
    train_output_layers(nlp, examples)
    nlp.update(examples, sgd=False)
    together = gradients(nlp)
    total = {name: torch.zeros_like(g) for name, g in together.items()}
    for name in ("tagger", "morphologizer", "bloom_token_classifier"):
        others = {"tagger", "morphologizer", "bloom_token_classifier"} - {name}
        module_of(nlp).zero_grad(set_to_none=True)
        nlp.update(examples, sgd=False, exclude=sorted(others))
        for key, gradient in gradients(nlp).items():
            assert gradient.abs().max() > 0 or "bias" in key
            total[key] += gradient
    for key, gradient in together.items():
        torch.testing.assert_close(gradient, total[key], atol=1e-4, rtol=1e-3, msg=key)


@pytest.mark.parametrize("frozen", ["tagger", "ner"])
def test_a_frozen_listener_does_not_stop_the_others(make_nlp, make_examples, weights, frozen):
    """Whichever of them is connected last."""
    nlp = make_nlp("tagger", "ner")
    examples = make_examples(nlp)
    train_output_layers(nlp, examples)
    before = weights(nlp)
    optimizer = Adam(0.01)
    losses = {}
    nlp.update(examples, sgd=False, exclude=[frozen], losses=losses)
    for name, pipe in nlp.pipeline:  # as the training loop does after all updates of a step
        if name != frozen:
            pipe.finish_update(optimizer)
    assert losses["bloom_transformer"] > 0
    assert any(not torch.equal(before[k], v) for k, v in weights(nlp).items())


def test_one_update_changes_the_weights(make_nlp, make_examples, weights):
    """nlp.update finishes the transformer's update before the listeners have learnt; the gradient still
    counts.
    """
    nlp = make_nlp("tagger")
    examples = make_examples(nlp)
    train_output_layers(nlp, examples)
    before = weights(nlp)
    nlp.update(examples, sgd=Adam(0.01))
    after = weights(nlp)
    assert all(not torch.equal(before[name], after[name]) for name in before)
    assert all(p.grad is None or not p.grad.any() for p in module_of(nlp).parameters())


def test_accumulated_gradients(make_nlp, make_examples):
    """Two halves of a batch without an update between them give the gradient of the whole."""
    nlp = make_nlp("tagger")
    examples = make_examples(nlp)
    train_output_layers(nlp, examples)
    nlp.update(examples, sgd=False)
    whole = gradients(nlp)
    module_of(nlp).zero_grad(set_to_none=True)
    nlp.update(examples[:2], sgd=False)
    nlp.update(examples[2:], sgd=False)
    for key, gradient in gradients(nlp).items():
        torch.testing.assert_close(gradient, whole[key], atol=1e-4, rtol=1e-3, msg=key)


def test_a_component_without_annotation_in_the_batch(make_nlp, make_examples, weights):
    """ner sits such a batch out; the tagger's gradient reaches the weights, and the next batch works."""
    nlp = make_nlp("tagger", "ner")
    examples = make_examples(nlp)
    train_output_layers(nlp, examples)
    doc = nlp.make_doc("Ana lives")
    partial = [Example.from_dict(doc, {"words": ["Ana", "lives"], "tags": ["NAME", "WORD"]})]
    before, optimizer = weights(nlp), Adam(0.01)
    for batch in (partial, examples, partial):
        nlp.update(batch, sgd=False)
        for _, pipe in nlp.pipeline:
            pipe.finish_update(optimizer)
        after = weights(nlp)
        assert any(not torch.equal(before[k], after[k]) for k in before)
        before = after
    nlp.update(examples, exclude=["bloom_transformer"], annotates=["bloom_transformer"])


def test_a_batch_of_empty_docs_teaches_nothing(make_nlp, make_examples, weights):
    nlp = make_nlp("tagger", "bloom_token_classifier")
    before = weights(nlp)
    examples = make_examples(nlp, ["", ""])
    losses = nlp.update(examples, sgd=Adam(0.01))
    assert losses["bloom_transformer"] == 0.0
    assert all(torch.equal(before[k], v) for k, v in weights(nlp).items())


def test_without_listeners_there_is_nothing_to_learn(make_nlp, make_examples, weights):
    nlp = make_nlp()
    before = weights(nlp)
    nlp.update(make_examples(nlp), sgd=Adam(0.01))
    assert all(torch.equal(before[k], v) for k, v in weights(nlp).items())


# Pipelines


def test_the_pipeline_of_a_config(make_nlp, predictions):
    nlp = make_nlp("tagger", "ner", "bloom_token_classifier")
    again = type(nlp).from_config(nlp.config)
    assert again.pipe_names == nlp.pipe_names
    assert again.config == nlp.config
    again.from_bytes(nlp.to_bytes())
    assert predictions(again) == predictions(nlp)


@pytest.mark.parametrize(
    "duplicate",
    [
        lambda x: pickle.loads(pickle.dumps(x)),
        lambda x: srsly.pickle_loads(srsly.pickle_dumps(x)),
        copy.deepcopy,
    ],
    ids=["pickle", "cloudpickle", "deepcopy"],
)
def test_copies(make_nlp, make_examples, predictions, duplicate):
    nlp = make_nlp("tagger", "bloom_token_classifier")
    nlp.update(make_examples(nlp), sgd=Adam(0.01))
    expected = predictions(nlp)
    copied = duplicate(nlp)
    assert predictions(copied) == expected
    assert [doc._.trf_data for doc in copied.pipe([TEXT, "a"])] == [None, None]
    for _ in range(3):
        copied.update(make_examples(copied), sgd=Adam(0.01))
    assert predictions(nlp) == expected


def test_listeners_can_be_replaced(make_nlp, make_examples, predictions, weights, tmp_path):
    nlp = make_nlp("tagger", "bloom_token_classifier")
    optimizer = Adam(0.003)
    for _ in range(5):
        nlp.update(make_examples(nlp), sgd=optimizer)
    expected = predictions(nlp)
    nlp.replace_listeners("bloom_transformer", "tagger", ["model.tok2vec"])
    assert predictions(nlp) == expected
    assert nlp(TEXT)._.trf_data is None
    nlp.replace_listeners("bloom_transformer", "bloom_token_classifier", ["model.tok2vec"])
    assert predictions(nlp) == expected
    nlp.remove_pipe("bloom_transformer")
    assert predictions(nlp) == expected
    tok2vec = nlp.config["components"]["tagger"]["model"]["tok2vec"]
    assert tok2vec["@architectures"] == "spacy-bloom.Tok2VecTransformer.v2" and tok2vec["window"] == 24
    nlp.to_disk(tmp_path / "nlp")
    assert predictions(spacy.load(tmp_path / "nlp")) == expected
    shims = [node.shims[0] for _, pipe in nlp.pipeline for node in pipe.model.walk() if node.shims]
    assert len({shim.id for shim in shims}) == len(shims) == 2
    losses = [nlp.update(make_examples(nlp), sgd=optimizer) for _ in range(5)]
    assert losses[-1]["tagger"] < losses[0]["tagger"]


def test_a_component_with_its_own_transformer_from_the_start(
    checkpoint, make_examples, predictions, tmp_path
):
    nlp = spacy.blank("xx")
    tok2vec = {
        "@architectures": "spacy-bloom.Tok2VecTransformer.v1",
        "name": checkpoint,
        "pooling": {"@layers": "reduce_mean.v1"},
        "window": 24,
        "context": 6,
    }
    nlp.add_pipe("tagger", config={"model": {"@architectures": "spacy.Tagger.v2", "tok2vec": tok2vec}})
    nlp.initialize(lambda: make_examples(nlp))
    optimizer = Adam(0.003)
    losses = [nlp.update(make_examples(nlp), sgd=optimizer) for _ in range(15)]
    assert losses[-1]["tagger"] < 0.8 * losses[0]["tagger"]
    nlp.to_disk(tmp_path / "nlp")
    assert predictions(spacy.load(tmp_path / "nlp")) == predictions(nlp)


@pytest.mark.parametrize("alive", [True, False])
def test_a_sourced_transformer_serves_its_new_pipeline(
    make_nlp, stock_config, make_examples, predictions, alive
):
    """Whether the pipeline it comes from is still there, with other listeners, or not."""
    source = make_nlp("tagger")
    nlp = spacy.blank("xx")
    nlp.add_pipe("bloom_transformer", source=source)
    nlp.add_pipe("tagger", source=source)
    nlp.add_pipe("ner", config=stock_config("ner"))
    with nlp.select_pipes(enable=["ner"]):
        nlp.initialize(lambda: make_examples(nlp))
    expected = predictions(source, [TEXT])[0]["tokens"]
    if not alive:
        del source
        gc.collect()
    assert [t[1] for t in predictions(nlp, [TEXT])[0]["tokens"]] == [t[1] for t in expected]
    nlp(TEXT)
    if alive:
        source(TEXT)
        source.remove_pipe("tagger")
        source.add_pipe("tagger", config=stock_config("tagger"))
        nlp(TEXT)
    else:
        assert nlp(TEXT)._.trf_data is None


LINKED = (
    ("Ana lives in Lima .", "Ana", "Q1"),
    ("The café near Ana", "Ana", "Q2"),
    ("Rio is in Ana", "Rio", "Q3"),
)


@pytest.mark.parametrize("kind", ["ours", "stock"])
def test_entities_are_linked(add_transformer, listener, kind):
    """The entity linker must know how wide the vectors are when it is made."""
    nlp = spacy.blank("en")
    add_transformer(nlp)
    model = {"@architectures": "spacy.EntityLinker.v2", "tok2vec": listener(kind)}
    linker = nlp.add_pipe("entity_linker", config={"model": model, "use_gold_ents": True})

    def make_kb(vocab):
        kb = InMemoryLookupKB(vocab, entity_vector_length=3)
        for i, name in enumerate(("Q1", "Q2", "Q3")):
            kb.add_entity(name, 10, [float(i == j) for j in range(3)])
        kb.add_alias("Ana", ["Q1", "Q2"], [0.5, 0.5])
        kb.add_alias("Rio", ["Q3"], [1.0])
        return kb

    examples = []
    for text, name, link in LINKED:
        doc, place = nlp.make_doc(text), (text.index(name), text.index(name) + 3)
        starts = [1, *[0] * (len(doc) - 1)]
        gold = {"entities": [(*place, "X")], "links": {place: {link: 1.0}}, "sent_starts": starts}
        examples.append(Example.from_dict(doc, gold))
    linker.set_kb(make_kb)
    nlp.initialize(lambda: examples)
    optimizer = Adam(0.01)
    losses = [nlp.update(examples, sgd=optimizer)["entity_linker"] for _ in range(15)]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    "texts", [[TEXT, "a b"], ["", TEXT], [" ", "", "今天"]], ids=["two", "one empty", "white space"]
)
def test_docs_can_be_joined_without_a_warning(make_nlp, texts):
    nlp = make_nlp("tagger", "bloom_token_classifier")
    docs = list(nlp.pipe(texts))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        joined = Doc.from_docs(docs)
    assert [t.tag_ for t in joined] == [t.tag_ for doc in docs for t in doc]


def test_memory_zones(make_nlp, predictions):
    nlp = make_nlp("tagger", "bloom_token_classifier")
    expected = predictions(nlp)
    for _ in range(2):
        with nlp.memory_zone():
            assert predictions(nlp) == expected


def test_docs_with_activations_go_through_docbin(make_nlp):
    nlp = make_nlp(initialize=False)
    docs = list(nlp.pipe([TEXT, "", " "]))
    again = list(
        DocBin(store_user_data=True)
        .from_bytes(DocBin(docs=docs, store_user_data=True).to_bytes())
        .get_docs(nlp.vocab)
    )
    for doc, copied in zip(docs, again, strict=True):
        data = copied._.trf_data
        assert isinstance(data, TransformerData)
        assert data.align.lengths.tolist() == doc._.trf_data.align.lengths.tolist()
        if len(doc):
            numpy.testing.assert_array_equal(vectors(copied), vectors(doc))
    assert len(Doc(nlp.vocab).from_bytes(docs[0].to_bytes())._.trf_data.align.lengths) == len(docs[0])


def test_a_listener_reads_activations_that_were_saved(make_nlp):
    nlp = make_nlp("tagger", keep_activations=True)
    doc = nlp(TEXT)
    copied = Doc(nlp.vocab).from_bytes(doc.to_bytes())
    for token in copied:
        token.tag_ = ""
    assert [t.tag_ for t in nlp.get_pipe("tagger")(copied)] == [t.tag_ for t in doc]


def test_docs_from_elsewhere(make_nlp):
    """A Doc with annotation, a Doc from a span, and the same Doc twice."""
    nlp = make_nlp("tagger")
    doc = nlp(TEXT)
    part = Span(doc, 1, 4).as_doc()
    assert [t.tag_ for t in nlp(part)] and part._.trf_data is None
    assert [t.tag_ for t in nlp(doc)] and doc._.trf_data is None


def test_a_bidirectional_transformer_is_saved_and_its_language_model_stays_causal(checkpoint, tmp_path):
    nlp = spacy.blank("xx")
    settings = {"name": str(checkpoint), "attention": "bidirectional"}
    nlp.add_pipe("bloom_transformer", config={"model": settings})
    nlp.add_pipe("bloom_surprisal", config={"upstream": "bloom_transformer"})
    plain = spacy.blank("xx")
    plain.add_pipe("bloom_transformer", config={"model": {"name": str(checkpoint)}})
    plain.add_pipe("bloom_surprisal", config={"model": {"name": str(checkpoint)}})
    text = "The river was high, and the bridge was closed."
    doc, causal = nlp(text), plain(text)
    bits, expected = ([token._.surprisal for token in d[1:]] for d in (doc, causal))
    assert bits == pytest.approx(expected, rel=1e-5)
    vectors = doc._.trf_data.model_output.last_hidden_state
    assert abs(vectors - causal._.trf_data.model_output.last_hidden_state).max() > 1e-2
    nlp.to_disk(tmp_path / "nlp")
    for again in (spacy.load(tmp_path / "nlp"), pickle.loads(pickle.dumps(nlp))):
        numpy.testing.assert_allclose(
            again(text)._.trf_data.model_output.last_hidden_state, vectors, atol=1e-5
        )
