"""Activations leave the Docs of every pipeline that shares a transformer, and never before all have read them."""

import copy

import pytest
import spacy

from spacy_bloom.pipeline.listening.readers import listeners_in

TEXT = "Ana lives in Lima near Rio ."
NAMES = ["tagger", "ner", "bloom_token_classifier"]


@pytest.fixture
def source(make_nlp):
    return make_nlp(*NAMES)


def sourced(source, names, vocab=True):
    nlp = spacy.blank("xx", vocab=vocab)
    for name in ("bloom_transformer", *names):
        nlp.add_pipe(name, source=source)
    return nlp


def run(nlp, *, leaves=True):
    """All components run, and the output is gone after the last of them and no sooner."""
    names = [name for name in nlp.pipe_names if name != "bloom_transformer"]
    doc = nlp.get_pipe("bloom_transformer")(nlp.make_doc(TEXT))
    for name in names:
        assert doc._.trf_data is not None
        doc = nlp.get_pipe(name)(doc)
    assert (doc._.trf_data is None) == leaves
    assert all((doc._.trf_data is None) == leaves for doc in nlp.pipe([TEXT, "", "a b"]) if len(doc))
    return doc


@pytest.mark.parametrize(
    "names", [["tagger"], ["ner"], ["tagger", "ner"], ["ner", "bloom_token_classifier"], NAMES]
)
def test_a_part_of_a_pipeline_sourced_elsewhere(source, names):
    """The pipeline that it comes from is still there, and waits for all of its own."""
    nlp = sourced(source, names)
    run(nlp)
    run(source)


def test_new_listeners_on_a_sourced_transformer(source, stock_config, make_examples):
    nlp = sourced(source, ["tagger"])
    nlp.add_pipe("morphologizer", config=stock_config("morphologizer"))
    with nlp.select_pipes(enable=["morphologizer"]):
        nlp.initialize(lambda: make_examples(nlp))
    run(nlp)
    run(source)


def test_the_source_changes_later(source):
    nlp = sourced(source, ["tagger"])
    source.remove_pipe("ner")
    run(source)
    run(nlp)
    source.remove_pipe("tagger")
    run(source)
    run(nlp)


def test_of_several_pipelines_elsewhere_none_loses_its_output(source):
    """They cannot be told apart: what one does not read may stay, but nothing leaves too soon."""
    nlp, other = sourced(source, ["tagger", "ner"]), sourced(source, ["tagger"])
    run(nlp)
    run(source)
    assert [t.tag_ for t in other(TEXT)] == [t.tag_ for t in nlp(TEXT)]


def test_a_pipeline_that_shares_the_vocabulary_loses_nothing(source, stock_config, make_examples):
    nlp = sourced(source, ["tagger"], vocab=source.vocab)
    nlp.add_pipe("morphologizer", config=stock_config("morphologizer"))
    with nlp.select_pipes(enable=["morphologizer"]):
        nlp.initialize(lambda: make_examples(nlp))
    assert all(t.tag_ for t in nlp(TEXT))
    assert all(t.tag_ for t in source(TEXT))


def test_a_removed_component_is_forgotten_at_once(source):
    held = source.get_pipe("ner")
    source.remove_pipe("ner")
    run(source)
    assert listeners_in(held, "bloom_transformer")


def test_a_copy_waits_for_its_own(source):
    copied = copy.deepcopy(source)
    copied.remove_pipe("ner")
    run(copied)
    run(source)


@pytest.mark.parametrize("disabled", NAMES)
def test_a_disabled_component_is_not_waited_for(source, disabled):
    with source.select_pipes(disable=[disabled]):
        run(source)
    run(source)


@pytest.mark.parametrize("upstream, n", [("*", 1), ("bloom_transformer", 1), ("other", 0)])
def test_listeners_are_found_by_their_upstream(make_nlp, listener, upstream, n):
    nlp = make_nlp(initialize=False)
    model = {"@architectures": "spacy.Tagger.v2", "tok2vec": listener(upstream=upstream)}
    pipe = nlp.add_pipe("tagger", config={"model": model})
    assert len(listeners_in(pipe, "bloom_transformer")) == n
    assert listeners_in(lambda doc: doc, "bloom_transformer") == []
