import json

import numpy
import pytest
import spacy
import torch
from spacy.tokens import Doc, Span, Token
from spacy.training import Example
from spacy.util import fix_random_seed
from thinc.api import Adam
from transformers import BloomConfig as HfConfig
from transformers import BloomForTokenClassification as HfModel

from spacy_bloom.errors import BloomWarning, CheckpointError, ConfigError, NotTrainedError
from spacy_bloom.pipeline.tagging import sequences
from spacy_bloom.pipeline.token_classifier import BloomTokenClassifier
from spacy_bloom.thinc_layers.averaged_logits import classifiers

NAME = "bloom_token_classifier"
TARGETS = ["ents", "tag", "pos", "spans"]
TEXT = "Ana lives in Lima near Rio ."


@pytest.fixture
def make(make_nlp):
    """A function that makes a pipeline of transformer and classifier."""

    def make_pipeline(initialize=True, keep_activations=False, **classifier):
        fix_random_seed(0)
        return make_nlp(NAME, classifier=classifier, initialize=initialize, keep_activations=keep_activations)

    return make_pipeline


def train(nlp, examples, steps=40, rate=0.005):
    optimizer = Adam(rate)
    return [nlp.update(examples, sgd=optimizer)[NAME] for _ in range(steps)]


SCORES = {"ents": "ents_f", "tag": "tag_acc", "pos": "pos_acc", "spans": "spans_sc_f"}


@pytest.mark.parametrize("target", TARGETS)
def test_learns(make, make_examples, predictions, target, tmp_path):
    nlp = make(target=target)
    examples = make_examples(nlp)
    before = nlp.evaluate(make_examples(nlp))[SCORES[target]]
    losses = train(nlp, examples)
    assert losses[-1] < 0.1 * losses[0]
    after = nlp.evaluate(make_examples(nlp))[SCORES[target]]
    assert (before or 0.0) < 0.9 and after > 0.95
    nlp.to_disk(tmp_path / "nlp")
    assert predictions(spacy.load(tmp_path / "nlp")) == predictions(nlp)
    assert spacy.load(tmp_path / "nlp").get_pipe(NAME).labels == nlp.get_pipe(NAME).labels


def test_learns_with_layers_between(make, make_examples, predictions, tmp_path):
    """As in the shipped config: what a causal model has not seen, a window over the neighbours gives back."""
    encode = {
        "@architectures": "spacy.MaxoutWindowEncoder.v2",
        "width": 16,
        "window_size": 1,
        "maxout_pieces": 2,
        "depth": 1,
    }
    nlp = make(model={"encode": encode})
    losses = train(nlp, make_examples(nlp))
    assert losses[-1] < 0.1 * losses[0]
    assert nlp.evaluate(make_examples(nlp))["ents_f"] > 0.95
    nlp.to_disk(tmp_path / "nlp")
    assert predictions(spacy.load(tmp_path / "nlp")) == predictions(nlp)


ENCODE = {
    "@architectures": "spacy.MaxoutWindowEncoder.v2",
    "width": 16,
    "window_size": 1,
    "maxout_pieces": 2,
    "depth": 1,
}
EMBED = {
    "@architectures": "spacy.MultiHashEmbed.v2",
    "width": 8,
    "attrs": ["NORM", "SHAPE"],
    "rows": [50, 20],
    "include_static_vectors": False,
}


@pytest.mark.parametrize(
    "target, model",
    [(target, {"encode": ENCODE, "embed": EMBED}) for target in TARGETS]
    + [("ents", {}), ("ents", {"encode": ENCODE})],
)
def test_learns_transitions(make, make_examples, predictions, target, model, tmp_path):
    nlp = make(target=target, model={**model, "learn_transitions": True})
    examples = make_examples(nlp)
    losses = train(nlp, examples)
    assert losses[-1] < 0.1 * losses[0]
    assert nlp.evaluate(make_examples(nlp))[SCORES[target]] > 0.95
    scores = nlp.get_pipe(NAME).model.get_ref("transitions").get_param("W")
    n_tags = len(nlp.get_pipe(NAME).tags)
    assert scores.shape == (n_tags + 1, n_tags) and scores.any()
    nlp.to_disk(tmp_path / "nlp")
    loaded = spacy.load(tmp_path / "nlp")
    assert predictions(loaded) == predictions(nlp)
    assert (loaded.get_pipe(NAME).model.get_ref("transitions").get_param("W") == scores).all()


def test_learned_transitions_count_in_decoding(make, monkeypatch):
    """A token says neither; what is before it decides."""
    nlp = make(model={"learn_transitions": True})
    pipe = nlp.get_pipe(NAME)
    tags = list(pipe.tags)
    scores = numpy.zeros((len(tags) + 1, len(tags)), dtype="f")
    scores[tags.index("B-PER"), tags.index("I-PER")] = 2.0
    pipe.model.get_ref("transitions").set_param("W", scores)
    logits = numpy.zeros((2, len(tags)), dtype="f")
    logits[0, tags.index("B-PER")] = 3.0
    logits[1, tags.index("O")] = 1.0
    monkeypatch.setattr(type(pipe.model), "predict", lambda model, docs: [logits])
    ((found, probabilities),) = pipe.predict([nlp.make_doc("Ana Lima")])
    assert [tags[i] for i in found] == ["B-PER", "I-PER"]
    numpy.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)
    assert probabilities[1, tags.index("I-PER")] > probabilities[1, tags.index("O")]


def test_learned_transitions_with_docs_without_tokens(make):
    nlp = make(model={"learn_transitions": True})
    assert [len(doc) for doc in nlp.pipe(["", TEXT, ""])] == [0, 7, 0]
    assert len(nlp("")) == 0
    assert nlp.get_pipe(NAME).predict([nlp.make_doc("")])[0][1].shape == (0, 5)


def test_missing_tokens_with_learned_transitions(make):
    """What is known of their neighbours is all that is learnt of them."""
    nlp = make(model={"learn_transitions": True})
    doc = nlp.make_doc("Ana lives in Lima")
    known = Example.from_dict(doc, {"entities": ["U-PER", "O", "O", "U-LOC"]})
    missing = Example.from_dict(doc, {"entities": ["U-PER", "O", "-", "-"]})
    full, _ = get_loss(nlp, [known])
    loss, (gradient,) = get_loss(nlp, [missing])
    assert gradient.shape == (4, 5) and 0 < loss < full
    numpy.testing.assert_allclose(gradient.sum(axis=1), 0.0, atol=1e-5)
    bare = Example(nlp.make_doc(TEXT), nlp.make_doc(TEXT))
    loss, (gradient,) = get_loss(nlp, [bare])
    assert loss == 0.0 and not gradient.any()


def test_long_and_short_docs_with_learned_transitions(make, monkeypatch):
    """They are worked on in groups; what comes out is that of each alone."""
    monkeypatch.setattr(sequences, "MAX_PADDED", 60)
    nlp = make(model={"learn_transitions": True})
    pipe, transformer = nlp.get_pipe(NAME), nlp.get_pipe("bloom_transformer")
    texts = [TEXT * n for n in (3, 1, 5, 2, 1)]
    together = pipe.predict(list(transformer.pipe(map(nlp.make_doc, texts))))
    for text, (tags, probabilities) in zip(texts, together, strict=True):
        ((alone, odds),) = pipe.predict([transformer(nlp.make_doc(text))])
        assert len(tags) and (tags == alone).all()
        numpy.testing.assert_allclose(probabilities, odds, atol=1e-5)


def test_no_span_ends_with_white_space_under_learned_transitions(make, monkeypatch):
    nlp = make(model={"learn_transitions": True})
    pipe, doc = nlp.get_pipe(NAME), nlp.make_doc("Ana  lives")
    assert [token.is_space for token in doc] == [False, True, False]
    logits = numpy.zeros((3, len(pipe.tags)), dtype="f")
    for i, tag in enumerate(("B-PER", "I-PER", "O")):
        logits[i, pipe.tags.index(tag)] = 5.0
    monkeypatch.setattr(type(pipe.model), "predict", lambda model, docs: [logits])
    ((tags, _),) = pipe.predict([doc])
    assert [pipe.tags[tag] for tag in tags] == ["B-PER", "O", "O"]


def test_a_label_that_is_added_keeps_learned_transitions(make, make_examples, predictions):
    nlp = make(model={"encode": ENCODE, "embed": EMBED, "learn_transitions": True})
    examples = make_examples(nlp)
    train(nlp, examples)
    before = predictions(nlp)
    pipe = nlp.get_pipe(NAME)
    old = pipe.model.get_ref("transitions").get_param("W").copy()
    pipe.add_label("ORG")
    new = pipe.model.get_ref("transitions").get_param("W")
    assert new.shape == (8, 7)
    assert (new[:5, :5] == old[:5]).all() and (new[-1, :5] == old[-1]).all() and not new[:, 5:].any()
    assert predictions(nlp) == before
    train(nlp, examples, steps=1)


NGRAMS = {
    "@architectures": "spacy-bloom.NgramTokenClassifier.v1",
    "rows": 2048,
    "ngram_sizes": [2, 3],
    "feature_dropout": 0.1,
}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("model", [{}, {"encode": ENCODE, "embed": EMBED, "learn_transitions": True}])
def test_a_second_classifier_over_the_words_learns_by_itself(
    make, make_examples, predictions, target, model, tmp_path
):
    both = {**model, "linear_model": NGRAMS, "linear_share": 0.4}
    nlp = make(target=target, model=both)
    examples = make_examples(nlp)
    losses = train(nlp, examples)
    assert losses[-1] < 0.1 * losses[0]
    assert nlp.evaluate(make_examples(nlp))[SCORES[target]] > 0.95
    expected = predictions(nlp)
    nlp.to_disk(tmp_path / "nlp")
    for share in (0.0, 1.0):  # each knows the training data
        config = {"components": {NAME: {"model": {"linear_share": share}}}}
        alone = spacy.load(tmp_path / "nlp", config=config)
        assert alone.evaluate(make_examples(alone))[SCORES[target]] > 0.95
    assert predictions(spacy.load(tmp_path / "nlp")) == expected
    fresh = make(initialize=False, target=target, model=both)
    assert predictions(fresh.from_bytes(nlp.to_bytes())) == expected


def test_logits_of_both_classifiers_are_averaged(make, make_examples):
    model = {"linear_model": NGRAMS, "linear_share": 0.25, "learn_transitions": True}
    nlp = make(model=model, keep_activations=True)
    train(nlp, make_examples(nlp), steps=5)
    model = nlp.get_pipe(NAME).model
    doc = nlp.get_pipe("bloom_transformer")(nlp.make_doc(TEXT))
    left, right = (classifier.predict([doc])[0] for classifier in classifiers(model))
    assert right.shape == (7, 5) and (right == model.get_ref("linear_model").predict([doc])[0]).all()
    numpy.testing.assert_allclose(model.predict([doc])[0], 0.75 * left + 0.25 * right, atol=1e-5)
    assert model.get_ref("transitions").get_param("W").any()


def test_a_label_is_added_to_both_classifiers(make, make_examples, predictions, tmp_path):
    nlp = make(model={"linear_model": NGRAMS, "learn_transitions": True})
    examples = make_examples(nlp)
    train(nlp, examples)
    before = predictions(nlp)
    pipe = nlp.get_pipe(NAME)
    pipe.add_label("ORG")
    assert predictions(nlp) == before
    assert pipe.model.get_ref("transitions").get_param("W").shape == (8, 7)
    acme = Example.from_dict(nlp.make_doc("Acme grows"), {"entities": ["U-ORG", "O"]})
    train(nlp, [acme, *examples], steps=60, rate=0.02)
    assert [ent.label_ for ent in nlp("Acme grows").ents] == ["ORG"]
    nlp.to_disk(tmp_path / "nlp")
    assert predictions(spacy.load(tmp_path / "nlp")) == predictions(nlp)


def test_a_second_classifier_for_whole_docs_is_refused(make):
    second = {"@architectures": "spacy-bloom.NgramClassifier.v1", "rows": 64}
    with pytest.raises(ConfigError, match="linear_model.*spacy-bloom.NgramTokenClassifier.v1"):
        make(model={"linear_model": second})


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_share_that_is_none(make, share):
    with pytest.raises(ConfigError, match="linear_share to be from 0 to 1"):
        make(model={"linear_model": NGRAMS, "linear_share": share})


@pytest.mark.parametrize("learn_transitions", [False, True])
def test_the_bias_of_outside(make, make_examples, learn_transitions):
    """The fewer tokens are outside, the lower it is."""
    nlp = make(model={"learn_transitions": learn_transitions}, keep_activations=True)
    train(nlp, make_examples(nlp), steps=8)
    pipe = nlp.get_pipe(NAME)
    doc = nlp.get_pipe("bloom_transformer")(nlp.make_doc(TEXT))
    found = []
    for bias in (50.0, 0.0, -50.0):
        pipe.cfg["outside_bias"] = bias
        ((tags, probabilities),) = pipe.predict([doc])
        numpy.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-4)
        found.append(sum(pipe.tags[tag] != "O" for tag in tags))
    assert found[0] == 0 < found[2] == len(doc) and found[1] <= found[2]


def test_a_bias_without_a_tag_for_outside(make, make_examples):
    nlp = make(outside_bias=-1.0)
    nlp.get_pipe(NAME).cfg["tags"][0] = "X"
    with pytest.raises(ConfigError, match="no tag 'O'"):
        nlp(TEXT)


def test_the_bias_of_outside_is_that_of_the_config(make, make_examples, tmp_path):
    nlp = make(outside_bias=50.0)
    train(nlp, make_examples(nlp))
    assert not nlp(TEXT).ents
    nlp.to_disk(tmp_path / "nlp")
    assert not spacy.load(tmp_path / "nlp")(TEXT).ents
    config = {"components": {NAME: {"outside_bias": 0.0}}}
    assert spacy.load(tmp_path / "nlp", config=config)(TEXT).ents


def test_embed_needs_encode(make):
    with pytest.raises(ConfigError, match="embed without encode"):
        make(model={"embed": EMBED})


def test_a_score_per_entity_type(make, make_examples):
    nlp = make()
    train(nlp, make_examples(nlp))
    assert set(nlp.evaluate(make_examples(nlp))["ents_per_type"]) == {"LOC", "PER"}


@pytest.mark.parametrize("target", TARGETS)
def test_docs_without_tokens(make, target):
    nlp = make(target=target, scores_attr="odds")
    for text in ("", " ", "\n\n"):
        assert nlp(text).text == text
    docs = list(nlp.pipe(["", "", ""]))
    assert [len(doc.ents) for doc in docs] == [0, 0, 0]
    if target == "spans":
        assert all("sc" in doc.spans for doc in docs)


# Labels


def test_labels_from_the_data(make):
    nlp = make()
    assert nlp.get_pipe(NAME).labels == nlp.get_pipe(NAME).label_data == ("LOC", "PER")
    assert nlp.get_pipe(NAME).tags == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
    assert make(target="tag").get_pipe(NAME).labels == ("NAME", "SHORT", "WORD")
    assert make(target="pos").get_pipe(NAME).labels == ("PROPN", "X")
    assert make(target="spans").get_pipe(NAME).labels == ("LOC", "PER")


def test_labels_from_a_list(make, make_examples):
    nlp = make(initialize=False)
    nlp.config["initialize"]["components"][NAME] = {"labels": ["PER", "MORE", "LOC"]}
    nlp.initialize(lambda: make_examples(nlp))
    assert nlp.get_pipe(NAME).labels == ("PER", "MORE", "LOC")
    assert len(nlp.get_pipe(NAME).tags) == 7
    assert train(nlp, make_examples(nlp), 15)[-1] < 10


def test_labels_from_a_file(make, make_examples, tmp_path):
    """The file that `spacy init labels` writes: the component's label_data as JSON."""
    (tmp_path / "labels.json").write_text(json.dumps([*list(make().get_pipe(NAME).label_data), "NEW"]))
    nlp = make(initialize=False)
    labels = {"@readers": "spacy.read_labels.v1", "path": str(tmp_path / "labels.json")}
    nlp.config["initialize"]["components"][NAME] = {"labels": labels}
    nlp.initialize(lambda: make_examples(nlp))
    assert nlp.get_pipe(NAME).labels == ("LOC", "PER", "NEW")


@pytest.mark.parametrize("target", TARGETS)
def test_no_labels(make, target):
    nlp = make(initialize=False, target=target)
    with pytest.raises(ConfigError, match="got no labels"):
        nlp.initialize(lambda: [Example(nlp.make_doc("a b"), nlp.make_doc("a b"))])


def test_unknown_gold_labels(make):
    nlp = make()
    doc = nlp.make_doc("Ana lives")
    with pytest.raises(ConfigError, match="gold label 'ANIMAL'"):
        nlp.update([Example.from_dict(doc, {"entities": ["U-ANIMAL", "O"]})])


@pytest.mark.parametrize("target", TARGETS)
def test_untrained_use(make, target, tmp_path):
    nlp = make(initialize=False, target=target)
    with pytest.raises(NotTrainedError, match="spacy train"):
        nlp(TEXT)
    with pytest.raises(NotTrainedError):
        nlp.update([Example(nlp.make_doc(TEXT), nlp.make_doc(TEXT))])
    nlp.to_disk(tmp_path / "nlp")
    with pytest.raises(NotTrainedError):
        spacy.load(tmp_path / "nlp")(TEXT)


def test_unknown_targets(make):
    with pytest.raises(ConfigError, match="expected target"):
        make(target="entities")


# Missing annotation


def get_loss(nlp, examples):
    pipe = nlp.get_pipe(NAME)
    docs = [nlp.get_pipe("bloom_transformer")(eg.predicted) for eg in examples]
    return pipe.get_loss(examples, pipe.model.predict(docs))


def test_missing_tokens_have_no_gradient(make):
    nlp = make()
    doc = nlp.make_doc("Ana lives in Lima")
    missing = Example.from_dict(doc, {"entities": ["U-PER", "-", "-", "O"]})
    loss, (gradient,) = get_loss(nlp, [missing])
    assert gradient.shape == (4, 5) and loss > 0
    assert not gradient[1:3].any()
    assert numpy.abs(gradient[[0, 3]]).sum(axis=1).min() > 0.1


@pytest.mark.parametrize("target", TARGETS)
def test_docs_without_annotation_have_no_gradient(make, make_examples, target):
    nlp = make(target=target)
    bare = Example(nlp.make_doc(TEXT), nlp.make_doc(TEXT))
    loss, (gradient,) = get_loss(nlp, [bare])
    assert loss == 0.0 and not gradient.any()
    full = make_examples(nlp)
    loss, gradients = get_loss(nlp, [*full, bare])
    assert loss > 0 and not gradients[-1].any() and gradients[0].any()


def test_the_gradient_is_that_of_the_cross_entropy(make, make_examples):
    nlp = make(target="tag")
    pipe, examples = nlp.get_pipe(NAME), make_examples(nlp)
    draw = numpy.random.default_rng(0)
    logits = [draw.normal(size=(len(eg.predicted), 3)).astype("f") for eg in examples]
    loss, gradients = pipe.get_loss(examples, logits)
    rows = torch.tensor(numpy.concatenate(logits), requires_grad=True)
    gold = torch.tensor([pipe.tags.index(t.tag_) for eg in examples for t in eg.reference])
    expected = torch.nn.functional.cross_entropy(rows, gold, reduction="sum")
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-4)
    numpy.testing.assert_allclose(numpy.concatenate(gradients), rows.grad.numpy(), atol=1e-5)


def test_learns_where_predicted_and_gold_tokens_differ(make):
    nlp = make()
    reference = Doc(
        nlp.vocab, words=["Ana", "lives", "in", "New", "York", "!"], spaces=[True] * 4 + [False] * 2
    )
    reference.set_ents([Span(reference, 0, 1, "PER"), Span(reference, 3, 5, "LOC")])
    finer = Doc(
        nlp.vocab,
        words=["A", "na", "lives", "in", "New", "Yo", "rk", "!"],
        spaces=[False] + [True] * 4 + [False] * 3,
    )
    wider = Doc(nlp.vocab, words=["Ana", "lives", "in", "New York!"], spaces=[True] * 3 + [False])
    examples = [Example(doc, reference) for doc in (finer, wider)]
    losses = train(nlp, examples, 30)
    assert losses[-1] < 0.1 * losses[0]
    docs = [nlp(doc.copy()) for doc in (finer, wider)]
    assert [(e.text, e.label_) for e in docs[0].ents] == [("Ana", "PER"), ("New York", "LOC")]
    assert ("Ana", "PER") in [(e.text, e.label_) for e in docs[1].ents]


# What is written


@pytest.mark.parametrize("target", TARGETS)
def test_scores_of_tokens_sum_to_one(make, target):
    nlp = make(target=target, scores_attr="odds_of_" + target)
    doc = nlp(TEXT)
    tags = nlp.get_pipe(NAME).tags
    for token in doc:
        odds = getattr(token._, "odds_of_" + target)
        assert list(odds) == list(tags)
        assert sum(odds.values()) == pytest.approx(1.0, abs=1e-5)
        if target == "tag":
            assert max(odds, key=odds.get) == token.tag_


def test_the_extension_is_there_before_the_first_doc(make):
    """A pipeline that runs in other processes only must be able to read it too."""
    make(scores_attr="odds_before_use")
    assert Token.has_extension("odds_before_use")


def test_spans_have_scores(make, make_examples):
    nlp = make(initialize=False, target="spans", spans_key="names", scores_attr="odds")
    examples = make_examples(nlp)
    for eg in examples:
        eg.reference.spans["names"] = eg.reference.spans.pop("sc")
    nlp.initialize(lambda: examples)
    train(nlp, examples)
    assert nlp.evaluate(examples)["spans_names_f"] > 0.95
    doc = nlp(TEXT)
    group = doc.spans["names"]
    assert [(s.text, s.label_) for s in group] == [("Ana", "PER"), ("Lima", "LOC"), ("Rio", "LOC")]
    assert len(group.attrs["scores"]) == 3
    for span, score in zip(group, group.attrs["scores"], strict=True):
        assert score == pytest.approx(span[0]._.odds[f"B-{span.label_}"], abs=1e-5)
        assert 0.5 < score <= 1.0


@pytest.mark.parametrize("overwrite", [True, False])
def test_tokens_where_no_entity_may_be(make, make_examples, overwrite):
    """As of spaCy's ner, blocked tokens stay blocked; overwriting replaces that too."""
    nlp = make(overwrite=overwrite)
    train(nlp, make_examples(nlp))
    free = nlp(TEXT).ents
    doc = nlp.make_doc(TEXT)
    blocked = free[0][:1]
    doc.set_ents([], blocked=[doc[blocked.start : blocked.end]])
    doc = nlp(doc)
    found = {(ent.start, ent.end) for ent in doc.ents}
    assert found == {(ent.start, ent.end) for ent in (free if overwrite else free[1:])}
    assert (doc[blocked.start].ent_iob_ == "B" and not doc[blocked.start].ent_type_) == (not overwrite)


def test_gold_spans_that_overlap_are_warned_of(checkpoint):
    nlp = spacy.blank("xx")
    nlp.add_pipe("bloom_transformer", config={"model": {"name": checkpoint}})
    nlp.add_pipe(NAME, config={"target": "spans"})
    doc = nlp.make_doc("New York City")
    doc.spans["sc"] = [Span(doc, 0, 2, label="A"), Span(doc, 1, 3, label="B")]
    with pytest.warns(BloomWarning, match="1 of 2 gold spans overlap"):
        nlp.initialize(lambda: [Example(nlp.make_doc(doc.text), doc)])


@pytest.mark.parametrize("overwrite", [True, False])
def test_earlier_entities(make, make_examples, overwrite):
    nlp = make(overwrite=overwrite)
    train(nlp, make_examples(nlp))
    ruler = nlp.add_pipe("entity_ruler", before=NAME)
    ruler.add_patterns([{"label": "EVENT", "pattern": "lives"}, {"label": "PLACE", "pattern": "in Lima"}])
    found = [(ent.text, ent.label_) for ent in nlp(TEXT).ents]
    if overwrite:
        assert found == [("Ana", "PER"), ("Lima", "LOC"), ("Rio", "LOC")]
    else:
        assert found == [("Ana", "PER"), ("lives", "EVENT"), ("in Lima", "PLACE"), ("Rio", "LOC")]


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("target, attr", [("tag", "tag_"), ("pos", "pos_")])
def test_earlier_tags(make, overwrite, target, attr):
    nlp = make(target=target, overwrite=overwrite)
    doc = nlp.make_doc(TEXT)
    setattr(doc[1], attr, "VERB")
    doc = nlp(doc)
    assert (getattr(doc[1], attr) == "VERB") == (not overwrite)
    assert all(getattr(token, attr) for token in doc)


# Checkpoints with a classifier


@pytest.fixture
def hf_checkpoint(checkpoint, tmp_path):
    """Written by transformers, with the tokenizer of the other checkpoint."""
    tags = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    torch.manual_seed(0)
    vocab_size = spacy_bloom_config(checkpoint)["vocab_size"]
    config = HfConfig(
        vocab_size=vocab_size,
        hidden_size=32,
        n_layer=2,
        n_head=4,
        initializer_range=0.3,
        id2label=dict(enumerate(tags)),
        label2id={tag: i for i, tag in enumerate(tags)},
    )
    model = HfModel(config).eval()
    with torch.no_grad():
        model.classifier.bias.normal_()
    path = tmp_path / "hf"
    model.save_pretrained(path)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (path / name).write_bytes((spacy.util.ensure_path(checkpoint) / name).read_bytes())
    return path, model, tags


def spacy_bloom_config(checkpoint):
    return json.loads((spacy.util.ensure_path(checkpoint) / "config.json").read_text())


def hf_nlp(path, listener, target="tag"):
    nlp = spacy.blank("xx")
    nlp.add_pipe("bloom_transformer", config={"model": {"name": str(path)}, "keep_activations": True})
    model = {
        "@architectures": "spacy-bloom.TokenClassifier.v2",
        "tok2vec": listener(pooling="reduce_first.v1"),
    }
    config = {"checkpoint": str(path), "target": target, "scores_attr": "odds", "model": model}
    nlp.add_pipe(NAME, config=config)
    return nlp


TEXTS = [TEXT, "今天 Wei 在 Paris 。", "", "café", " \n "]


def test_a_hugging_face_classifier(hf_checkpoint, listener, tmp_path):
    """What transformers says of the first piece of each token, without training and after saving."""
    path, model, tags = hf_checkpoint
    nlp = hf_nlp(path, listener)
    docs = list(nlp.pipe(TEXTS))
    for doc in docs:
        if not len(doc):
            continue
        ids = torch.tensor(doc._.trf_data.wordpieces.input_ids)
        with torch.no_grad():
            odds = model(ids).logits[0].softmax(dim=-1).numpy()
        first = numpy.cumsum(doc._.trf_data.align.lengths) - doc._.trf_data.align.lengths
        for token, piece in zip(doc, doc._.trf_data.align.dataXd[first], strict=True):
            numpy.testing.assert_allclose([token._.odds[tag] for tag in tags], odds[piece], atol=1e-5)
            assert token.tag_ == tags[odds[piece].argmax()]
    nlp.to_disk(tmp_path / "nlp")
    path.rename(tmp_path / "gone")
    fresh = spacy.load(tmp_path / "nlp")
    assert [[t.tag_ for t in doc] for doc in fresh.pipe(TEXTS)] == [[t.tag_ for t in doc] for doc in docs]
    assert len({t.tag_ for doc in docs for t in doc}) > 1


@pytest.mark.parametrize("used", [True, False])
def test_a_hugging_face_classifier_is_saved_before_its_first_use(hf_checkpoint, listener, tmp_path, used):
    """A pipeline that was never run holds the classifier too, once the checkpoint is gone."""
    path, _, _ = hf_checkpoint
    nlp = hf_nlp(path, listener)
    expected = [[t.tag_ for t in doc] for doc in hf_nlp(path, listener).pipe(TEXTS)]
    if used:
        nlp(TEXT)
    nlp.to_disk(tmp_path / "nlp")
    data = nlp.to_bytes()
    fresh = hf_nlp(path, listener)
    path.rename(tmp_path / "gone")
    assert [[t.tag_ for t in doc] for doc in spacy.load(tmp_path / "nlp").pipe(TEXTS)] == expected
    assert [[t.tag_ for t in doc] for doc in fresh.from_bytes(data).pipe(TEXTS)] == expected


def test_a_hugging_face_classifier_writes_legal_entities(hf_checkpoint, listener):
    path, _, tags = hf_checkpoint
    nlp = hf_nlp(path, listener, target="ents")
    doc = nlp(TEXT * 5)
    assert nlp.get_pipe(NAME).labels == ("PER", "LOC") and nlp.get_pipe(NAME).tags == tuple(tags)
    assert {ent.label_ for ent in doc.ents} <= {"PER", "LOC"} and len(doc.ents)


def test_a_hugging_face_classifier_learns_on(hf_checkpoint, listener, make_examples):
    """It keeps labels and weights at initialisation."""
    path, _, tags = hf_checkpoint
    nlp = hf_nlp(path, listener, target="ents")
    before = [t._.odds for t in hf_nlp(path, listener, target="ents")(TEXT)]
    nlp.initialize(lambda: make_examples(nlp))
    assert nlp.get_pipe(NAME).tags == tuple(tags)
    for one, two in zip(before, nlp(TEXT), strict=True):
        assert one == pytest.approx(two._.odds, abs=1e-5)
    losses = train(nlp, make_examples(nlp))
    assert losses[-1] < 0.1 * losses[0]


def test_a_checkpoint_without_a_classifier(checkpoint, listener, hf_checkpoint):
    with pytest.raises(CheckpointError, match=r"classifier\.weight"):
        hf_nlp(checkpoint, listener)(TEXT)


def test_a_checkpoint_for_vectors_of_another_size(hf_checkpoint, listener):
    path, _, _ = hf_checkpoint
    nlp = hf_nlp(path, listener)
    config = nlp.config.copy()
    config["components"]["bloom_transformer"]["model"]["name"] = "tiny-bloom"
    with pytest.raises(ConfigError, match="vectors of 192 numbers .* a checkpoint for"):
        spacy.util.load_model_from_config(config)(TEXT)


def test_a_checkpoint_leaves_no_room_for_layers_between(hf_checkpoint, listener):
    path, _, _ = hf_checkpoint
    encode = {
        "@architectures": "spacy.MaxoutWindowEncoder.v2",
        "width": 32,
        "window_size": 1,
        "maxout_pieces": 2,
        "depth": 1,
    }
    nlp = spacy.blank("xx")
    nlp.add_pipe("bloom_transformer", config={"model": {"name": str(path)}})
    nlp.add_pipe(NAME, config={"checkpoint": str(path), "model": {"encode": encode}})
    with pytest.raises(ConfigError, match="encode = null"):
        nlp(TEXT)


# One bad Doc


BAD = "this one is BAD"


def break_on_marker(monkeypatch, pipe):
    """Make a component's model fail on every batch that holds the bad Doc, after it has read its input."""
    forward = pipe.model._func

    def fail(model, docs, is_train):
        output = forward(model, docs, is_train)
        if any("BAD" in doc.text for doc in docs):
            raise RuntimeError("a bad Doc")
        return output

    monkeypatch.setattr(pipe.model, "_func", fail)


@pytest.mark.parametrize("broken", ["bloom_transformer", NAME])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 10])
@pytest.mark.parametrize("second", [False, True])
def test_one_bad_doc_never_loses_its_batch(make_nlp, make_examples, monkeypatch, broken, batch_size, second):
    nlp = make_nlp(NAME, *(["tagger"] if second else []))
    train(nlp, make_examples(nlp), 5)
    texts = ["Ana", BAD, "in Lima", "", "Rio", BAD, "Cairo Ana"]
    good = [text for text in texts if text != BAD]
    expected = [[t.ent_iob_ for t in doc] for doc in nlp.pipe(good)]
    break_on_marker(monkeypatch, nlp.get_pipe(broken))
    seen = []
    nlp.set_error_handler(
        lambda name, proc, docs, error: seen.append((name, [doc.text for doc in docs], str(error)))
    )
    docs = list(nlp.pipe(texts, batch_size=batch_size))
    assert [doc.text for doc in docs] == good
    assert [[t.ent_iob_ for t in doc] for doc in docs] == expected
    assert seen == [(broken, [BAD], "a bad Doc")] * 2
    assert all(doc._.trf_data is None for doc in docs if len(doc))


@pytest.mark.parametrize("broken", ["bloom_transformer", NAME])
def test_without_an_error_handler_a_bad_doc_is_an_error(make, monkeypatch, broken):
    nlp = make()
    break_on_marker(monkeypatch, nlp.get_pipe(broken))
    with pytest.raises(RuntimeError, match="a bad Doc"):
        list(nlp.pipe(["Ana", BAD, "Rio"]))
    with pytest.raises(RuntimeError, match="a bad Doc"):
        nlp(BAD)
    assert isinstance(nlp.get_pipe(NAME), BloomTokenClassifier) and len(nlp("Ana"))
