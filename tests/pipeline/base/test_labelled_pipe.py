"""New labels, before and after training."""

import numpy
import pytest
import spacy
from spacy.tokens import Span
from spacy.training import Example
from thinc.api import Adam

from spacy_bloom.errors import ConfigError

TOKENS, TEXTS = "bloom_token_classifier", "bloom_text_classifier"
ALL = [(TOKENS, {"target": target}) for target in ("ents", "spans", "tag", "pos")] + [
    (TEXTS, {"exclusive": exclusive}) for exclusive in (True, False)
]


def annotated(nlp, text, new=False):
    doc = nlp.make_doc(text)
    name = "NEW" if new else "PER"
    doc.ents = [Span(doc, 0, 1, name)]
    doc.spans["sc"] = list(doc.ents)
    for i, token in enumerate(doc):
        token.tag_ = (name if i == 0 else "OTHER") if new or i == 0 else "OTHER"
        token.pos_ = ("VERB" if new else "PROPN") if i == 0 else "X"
    doc.cats = (
        {"new": 1.0, "a": 0.0, "b": 0.0} if new else {"a": float(len(doc) < 4), "b": float(len(doc) >= 4)}
    )
    return Example(nlp.make_doc(text), doc)


OLD = ["Ana lives in Lima", "Omar sleeps", "Wei eats rice today"]
NEW = ["Zeppelin flies over Rio", "Zeppelin lands"]


@pytest.fixture
def make(checkpoint):
    def make_trained(factory, config):
        nlp = spacy.blank("xx")
        nlp.add_pipe("bloom_transformer", config={"model": {"name": checkpoint}})
        nlp.add_pipe(factory, config=config)
        examples = [annotated(nlp, text) for text in OLD]
        nlp.initialize(lambda: examples)
        train(nlp, examples)
        return nlp

    return make_trained


def train(nlp, examples, steps=25):
    optimizer = Adam(0.005)
    for _ in range(steps):
        nlp.update(examples, sgd=optimizer)


def written(doc):
    ents = [(ent.start, ent.end, ent.label_) for ent in doc.ents]
    spans = [(span.start, span.end, span.label_) for span in doc.spans.get("sc", [])]
    return ents, spans, [(token.tag_, token.pos_) for token in doc]


def new_label(factory, config):
    return "new" if factory == TEXTS else "VERB" if config["target"] == "pos" else "NEW"


@pytest.mark.parametrize("factory, config", ALL)
def test_a_new_label_after_training(make, factory, config, tmp_path):
    nlp = make(factory, config)
    pipe, label = nlp.get_pipe(factory), new_label(factory, config)
    before, known = list(nlp.pipe(OLD)), pipe.labels
    assert pipe.add_label(label) == 1 and pipe.add_label(label) == 0 and pipe.add_label(known[0]) == 0
    assert pipe.labels == pipe.label_data == (*known, label)
    after = list(nlp.pipe(OLD))
    assert [written(doc) for doc in after] == [written(doc) for doc in before]
    for one, two in zip(before, after, strict=True):  # what it knows stays
        assert two.cats.pop(label, 0.0) < 1e-3
        assert two.cats == pytest.approx(one.cats, abs=1e-3)
    train(nlp, [annotated(nlp, text) for text in OLD] + [annotated(nlp, text, new=True) for text in NEW], 60)
    found = list(nlp.pipe([*OLD, *NEW]))
    assert [written(doc) for doc in found[: len(OLD)]] == [written(doc) for doc in before]
    assert all(label in str(written(doc)) or doc.cats.get(label, 0.0) > 0.5 for doc in found[len(OLD) :])
    nlp.to_disk(tmp_path)
    loaded = list(spacy.load(tmp_path).pipe([*OLD, *NEW]))
    assert [written(doc) for doc in loaded] == [written(doc) for doc in found]
    assert [doc.cats for doc in loaded] == [pytest.approx(doc.cats) for doc in found]


@pytest.mark.parametrize("factory, config", ALL)
def test_labels_before_initialisation(checkpoint, factory, config):
    nlp = spacy.blank("xx")
    nlp.add_pipe("bloom_transformer", config={"model": {"name": checkpoint}})
    pipe, label = nlp.add_pipe(factory, config=config), new_label(factory, config)
    assert pipe.add_label(label) == 1 and pipe.labels == (label,) and pipe.add_label(label) == 0
    examples = [annotated(nlp, text) for text in OLD]
    nlp.initialize(lambda: examples)
    assert pipe.labels[0] == label and len(pipe.labels) > 1
    nlp.update(examples, sgd=Adam(0.001))
    nlp(OLD[0])


@pytest.mark.parametrize("factory, config", [ALL[0], ALL[2], ALL[4]])
def test_initialising_again_keeps_labels_and_takes_new_ones(make, factory, config):
    """As with spaCy's ner: weights are drawn anew."""
    nlp = make(factory, config)
    pipe = nlp.get_pipe(factory)
    known = pipe.labels
    nlp.initialize(lambda: [annotated(nlp, text, new=True) for text in NEW])
    assert pipe.labels == (*known, new_label(factory, config))
    train(nlp, [annotated(nlp, text, new=True) for text in NEW], 2)


@pytest.mark.parametrize("label", [3, None, "", b"PER"])
def test_labels_that_are_not_text(label):
    with pytest.raises(ConfigError, match="Expected a label"):
        spacy.blank("xx").add_pipe(TOKENS).add_label(label)


def test_new_outputs_are_the_lowest(make):
    nlp = make(TOKENS, {"target": "ents", "scores_attr": "chances_of_labels"})
    nlp.get_pipe(TOKENS).add_label("NEW")
    for token in nlp(OLD[0]):
        chances = token._.chances_of_labels
        new = [chances.pop("B-NEW"), chances.pop("I-NEW")]
        assert max(new) < 1e-4 and numpy.isclose(sum(chances.values()), 1.0, atol=1e-3)
