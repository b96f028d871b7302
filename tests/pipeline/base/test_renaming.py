"""Renamed components, and what names them."""

import pytest
import spacy
from spacy.training import Example
from thinc.api import Adam

from spacy_bloom.pipeline.base.renaming import rename_upstream


@pytest.fixture
def nlp(add_transformer, listener):
    nlp = spacy.blank("xx")
    add_transformer(nlp)
    nlp.add_pipe(
        "bloom_token_classifier", config={"model": {"tok2vec": listener(upstream="bloom_transformer")}}
    )
    nlp.add_pipe("bloom_surprisal", config={"upstream": "bloom_transformer"})
    nlp.add_pipe("bloom_zero_shot", config={"upstream": "bloom_transformer", "labels": ["a", "b"]})
    return nlp


def upstreams(nlp):
    parts = nlp.config["components"]
    listens = parts["bloom_token_classifier"]["model"]["tok2vec"]["upstream"]
    return {listens, parts["bloom_surprisal"]["upstream"], parts["bloom_zero_shot"]["upstream"]}


@pytest.mark.parametrize("names", [["encoder"], ["one", "two"], ["other", "bloom_transformer"]])
def test_upstream_follows_a_rename(nlp, names, tmp_path):
    old = "bloom_transformer"
    for name in names:
        nlp.rename_pipe(old, name)
        old = name
    assert upstreams(nlp) == {old}
    examples = [Example.from_dict(nlp.make_doc("Ana lives"), {"entities": [(0, 3, "PER")]})]
    nlp.initialize(lambda: examples)
    assert nlp.get_pipe(old).listening_components == ["bloom_token_classifier"]
    losses = nlp.update(examples, sgd=Adam(0.001))
    assert losses[old] > 0
    nlp.to_disk(tmp_path)
    one, two = (pipeline("Ana lives") for pipeline in (nlp, spacy.load(tmp_path)))
    assert [token._.surprisal for token in two] == pytest.approx(
        [token._.surprisal for token in one], abs=1e-4
    )
    assert two.cats == pytest.approx(one.cats, abs=1e-4)


def test_another_transformer_of_the_old_name_is_another(nlp, add_transformer):
    nlp.rename_pipe("bloom_transformer", "first")
    add_transformer(nlp)
    assert upstreams(nlp) == {"first"}
    assert nlp.get_pipe("bloom_transformer").listening_components == []


def test_only_the_name_of_the_upstream_changes():
    nlp = spacy.blank("xx")
    pipe = nlp.add_pipe("bloom_surprisal", config={"upstream": "a", "attr": "a"})
    rename_upstream(None, pipe, "a", "b")
    rename_upstream(nlp, object(), "a", "b")
    rename_upstream(nlp, pipe, "other", "b")
    assert nlp.get_pipe_config("bloom_surprisal")["upstream"] == "a"
    rename_upstream(nlp, pipe, "a", "b")
    config = nlp.get_pipe_config("bloom_surprisal")
    assert (config["upstream"], config["attr"]) == ("b", "a")
