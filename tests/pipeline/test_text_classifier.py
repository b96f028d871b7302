import json
from pathlib import Path

import numpy
import pytest
import spacy
import srsly
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spacy.scorer import Scorer
from spacy.tokens import DocBin
from spacy.training import Example
from spacy.util import fix_random_seed
from thinc.api import Adam
from transformers import BloomConfig as HfConfig
from transformers import BloomForSequenceClassification as HfModel

from spacy_bloom.errors import CheckpointError, ConfigError, NotTrainedError

NAME = "bloom_text_classifier"
CONFIG = Path(__file__).parents[2] / "configs" / "text_classification.cfg"
POOLINGS = ["reduce_last.v1", "reduce_mean.v1", "reduce_first.v1"]
ANIMALS, FOOD = {"cat", "dog", "狗"}, {"rice", "café", "饭"}
TEXTS = [
    "the cat sleeps",
    "a dog in Lima",
    "一只狗 狗",
    "rice again",
    "the café is open </s> now",
    "吃饭 饭",
    "rice and more rice in the long long evening of the day",
    "cat cat cat cat cat and again the cat that was there before",
]
EMPTY = ["", " ", "\n\n \t"]
EVERYTHING = [*TEXTS, *EMPTY, "dog " * 80]


def gold_cats(text, exclusive=True):
    animal = any(word in text for word in ANIMALS)
    if exclusive:
        return {"animal": float(animal), "food": float(not animal)}
    return {
        "animal": float(animal),
        "food": float(any(word in text for word in FOOD)),
        "long": float(len(text) > 40),
    }


def make_examples(nlp, texts=(*TEXTS, *EMPTY), exclusive=True):
    return [Example.from_dict(nlp.make_doc(text), {"cats": gold_cats(text, exclusive)}) for text in texts]


@pytest.fixture
def make(add_transformer, listener):
    """A function that makes a pipeline of transformer and classifier, initialised on the examples."""

    def make_pipeline(
        initialize=True,
        pooling="reduce_last.v1",
        bias=True,
        transformer=None,
        linear=None,
        share=0.5,
        **config,
    ):
        fix_random_seed(0)
        nlp = spacy.blank("xx")
        add_transformer(nlp, **(transformer or {}))
        model = {"tok2vec": listener(pooling=pooling), "bias": bias}
        if linear is not None:
            architecture = "spacy-bloom.TextClassifier.v2"
            model.update({"@architectures": architecture, "linear_model": linear, "linear_share": share})
        nlp.add_pipe(NAME, config={"model": model, **config})
        if initialize:
            exclusive = config.get("exclusive") is not False
            nlp.initialize(lambda: make_examples(nlp, exclusive=exclusive))
        return nlp

    return make_pipeline


def train(nlp, examples, steps=40, rate=0.005):
    optimizer = Adam(rate)
    return [nlp.update(examples, sgd=optimizer)[NAME] for _ in range(steps)]


def cats(nlp, texts=EVERYTHING, **options):
    return [doc.cats for doc in nlp.pipe(texts, **options)]


def assert_same(one, two, tolerance=1e-5):
    assert [list(scores) for scores in one] == [list(scores) for scores in two]
    for a, b in zip(one, two, strict=True):
        assert list(a.values()) == pytest.approx(list(b.values()), abs=tolerance)


# Learning


@pytest.mark.parametrize(
    "pooling, exclusive", [*((pooling, True) for pooling in POOLINGS), (POOLINGS[0], False)]
)
def test_learns(make, pooling, exclusive, tmp_path):
    # The first piece of a causal transformer has seen nothing else.
    texts = ["dog here", "狗", "rice again", "饭"] if pooling == "reduce_first.v1" else TEXTS
    nlp = make(pooling=pooling, exclusive=exclusive)
    losses = train(nlp, make_examples(nlp, [*texts, *EMPTY[:1]], exclusive))
    assert losses[-1] < 0.1 * losses[0]
    scores = nlp.evaluate(make_examples(nlp, texts, exclusive))
    assert scores["cats_micro_f"] > 0.95
    assert scores["cats_score_desc"] == ("macro F" if exclusive else "macro AUC")
    expected = cats(nlp)
    nlp.to_disk(tmp_path / "nlp")
    loaded = spacy.load(tmp_path / "nlp")
    assert_same(cats(loaded), expected)
    assert loaded.get_pipe(NAME).labels == nlp.get_pipe(NAME).labels
    assert loaded.get_pipe(NAME).exclusive == exclusive
    fresh = make(initialize=False, pooling=pooling, exclusive=exclusive)
    assert_same(cats(fresh.from_bytes(nlp.to_bytes())), expected)


def test_learns_without_bias_and_with_dropout(make, tmp_path):
    nlp = make(bias=False)
    optimizer = Adam(0.005)
    losses = [nlp.update(make_examples(nlp), sgd=optimizer, drop=0.1)[NAME] for _ in range(40)]
    assert losses[-1] < 0.2 * losses[0]
    nlp.to_disk(tmp_path / "nlp")
    assert_same(cats(spacy.load(tmp_path / "nlp")), cats(nlp))


WORDS_VECTORS = {
    "@architectures": "spacy.HashEmbedCNN.v2",
    "pretrained_vectors": None,
    "width": 8,
    "depth": 1,
    "embed_size": 64,
    "window_size": 1,
    "maxout_pieces": 2,
    "subword_features": False,
}
NGRAMS = {"@architectures": "spacy-bloom.NgramClassifier.v1", "rows": 1024}
WORDS = {
    "@architectures": "spacy.TextCatBOW.v3",
    "exclusive_classes": True,
    "ngram_size": 1,
    "no_output_layer": True,
    "length": 1024,
}


@pytest.mark.parametrize("linear", [NGRAMS, WORDS])
@pytest.mark.parametrize("exclusive", [True, False])
def test_a_second_classifier_learns_beside_it(make, linear, exclusive, tmp_path):
    nlp = make(linear=linear, exclusive=exclusive)
    examples = make_examples(nlp, [*TEXTS, *EMPTY[:1]], exclusive)
    losses = train(nlp, examples, steps=40, rate=0.01)
    assert sum(losses[-10:]) < 0.2 * sum(losses[:10])
    assert nlp.evaluate(make_examples(nlp, TEXTS, exclusive))["cats_micro_f"] > 0.95
    model = nlp.get_pipe(NAME).model
    docs = [nlp.make_doc(text) for text in TEXTS]
    alone = model.get_ref("linear_model").predict(docs)  # it knows the training data without BLOOM
    animals = numpy.array([gold_cats(text)["animal"] == 1 for text in TEXTS])
    if exclusive:
        assert ((alone[:, 0] > alone[:, 1]) == animals).all()
    expected = cats(nlp)
    assert_same(cats(nlp, batch_size=1), expected)
    nlp.to_disk(tmp_path / "nlp")
    assert_same(cats(spacy.load(tmp_path / "nlp")), expected, 1e-7)
    fresh = make(initialize=False, linear=linear, exclusive=exclusive)
    assert_same(cats(fresh.from_bytes(nlp.to_bytes())), expected, 1e-7)


@pytest.mark.parametrize("linear", [NGRAMS, WORDS])
def test_a_label_is_added_to_both_classifiers(make, linear, tmp_path):
    nlp = make(linear=linear)
    train(nlp, make_examples(nlp), steps=20)
    before = cats(nlp, TEXTS)
    nlp.get_pipe(NAME).add_label("drink")
    after = cats(nlp, TEXTS)
    assert all(scores.pop("drink") < 0.05 for scores in after)
    assert_same(after, before, 0.05)
    tea = Example.from_dict(nlp.make_doc("tea"), {"cats": {"animal": 0.0, "food": 0.0, "drink": 1.0}})
    train(nlp, [tea, *make_examples(nlp)], steps=40, rate=0.03)
    assert nlp("tea").cats["drink"] > 0.5
    nlp.to_disk(tmp_path / "nlp")
    assert_same(cats(spacy.load(tmp_path / "nlp")), cats(nlp), 1e-7)


def test_the_share_of_the_second_classifier_is_that_of_the_config(make, tmp_path):
    nlp = make(linear=NGRAMS)
    train(nlp, make_examples(nlp), steps=10)
    nlp.to_disk(tmp_path / "nlp")
    share = {"components": {NAME: {"model": {"linear_share": 1.0}}}}
    loaded = spacy.load(tmp_path / "nlp", config=share)
    logits = nlp.get_pipe(NAME).model.get_ref("linear_model").predict([nlp.make_doc("the cat")])[0]
    expected = numpy.exp(logits) / numpy.exp(logits).sum()
    assert list(loaded("the cat").cats.values()) == pytest.approx(expected.tolist(), abs=1e-6)


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_share_that_is_none(make, share):
    with pytest.raises(ConfigError, match="linear_share to be from 0 to 1"):
        make(linear=NGRAMS, share=share)


@pytest.mark.parametrize("damage", [lambda old: None, lambda old: old[: len(old) // 2]])
def test_saved_outputs_of_the_second_classifier_that_do_not_fit(make, damage):
    """One output would be spread over all labels without a word."""
    nlp = make(linear=NGRAMS)
    model = nlp.get_pipe(NAME).model
    content = model.to_dict()
    place = next(i for i, node in enumerate(model.walk()) if node.name == "sparse_linear")
    for name, value in content["params"][place].items():
        content["params"][place][name] = damage(value)
    content["nodes"][place]["dims"]["nO"] = 1
    saved = srsly.msgpack_loads(nlp.get_pipe(NAME).to_bytes())
    saved["model"] = srsly.msgpack_dumps(srsly.msgpack_loads(saved["model"]) | content)
    with pytest.raises(CheckpointError, match=f"{NAME}.*(labels for|sparse_linear)"):
        make(linear=NGRAMS, initialize=False).get_pipe(NAME).from_bytes(srsly.msgpack_dumps(saved))


def test_scores_that_are_no_logits_are_refused(make):
    with pytest.raises(ConfigError, match="Expected logits of linear_model"):
        make(linear={**WORDS, "no_output_layer": False})


def test_a_second_classifier_whose_outputs_cannot_be_set(make):
    with pytest.raises(ConfigError, match="number of outputs that can be set"):
        make(
            linear={
                "@architectures": "spacy.TextCatCNN.v1",
                "exclusive_classes": True,
                "tok2vec": WORDS_VECTORS,
            }
        )


def test_scores_of_exclusive_labels_sum_to_one(make):
    for scores in cats(make(), TEXTS):
        assert sum(scores.values()) == pytest.approx(1.0, abs=1e-5)


def test_the_pooling_of_a_doc_longer_than_the_window(make):
    """The last piece of all, the mean over all windows, the first of all: as of the vectors themselves."""
    text = " ".join(TEXTS) * 5
    pool = {"last": lambda x: x[-1], "mean": lambda x: x.mean(axis=0), "first": lambda x: x[0]}
    for name, function in pool.items():
        nlp = make(pooling=f"reduce_{name}.v1", transformer={"keep_activations": True})
        doc = nlp(text)
        pieces = doc._.trf_data.tensors[0][0]  # (pieces, hidden_size)
        assert len(pieces) > 3 * 24
        output = nlp.get_pipe(NAME).model.get_ref("output_layer")
        logits = output.get_param("W") @ function(pieces) + output.get_param("b")
        expected = torch.tensor(logits).softmax(dim=0).numpy()
        assert list(doc.cats.values()) == pytest.approx(list(expected), abs=1e-5)


def test_batches_change_nothing(make):
    nlp = make()
    train(nlp, make_examples(nlp), 3)
    alone = [nlp(text).cats for text in EVERYTHING]
    for batch_size in (1, 3, 100):
        assert_same(cats(nlp, batch_size=batch_size), alone)


# Docs without tokens, and any text


@pytest.mark.parametrize("exclusive", [True, False])
def test_docs_without_tokens(make, exclusive):
    """Nothing to tell labels by: 0 for each, alone and in a batch. White space is text like any other."""
    nlp = make(exclusive=exclusive)
    for text in EMPTY:
        scores = nlp(text).cats
        assert list(scores) == list(nlp.get_pipe(NAME).labels)
        assert any(scores.values()) == bool(text)
    for texts in (["", "", ""], ["", "cat", ""], EMPTY):
        for text, scores in zip(texts, cats(nlp, texts), strict=True):
            assert any(scores.values()) == bool(text)


@pytest.mark.parametrize("exclusive", [True, False])
def test_learning_from_docs_without_tokens(make, exclusive):
    """Such Docs alone teach nothing; among others they change nothing."""
    nlp = make(exclusive=exclusive)
    before = cats(nlp)
    for texts in ([""], ["", ""]):
        assert train(nlp, make_examples(nlp, texts, exclusive), 2) == [0.0, 0.0]
    assert_same(cats(nlp), before)
    with_empty, without = make(exclusive=exclusive), make(exclusive=exclusive)
    losses = train(with_empty, make_examples(nlp, ["", "cat", "", "rice"], exclusive), 3)
    assert losses == pytest.approx(
        train(without, make_examples(nlp, ["cat", "rice"], exclusive), 3), rel=1e-4
    )
    assert_same(cats(with_empty), cats(without), 1e-4)
    assert all(loss > 0 for loss in train(nlp, make_examples(nlp, EMPTY[1:], exclusive), 2))


def test_initialising_on_docs_without_tokens_only(make):
    nlp = make(initialize=False)
    nlp.initialize(lambda: make_examples(nlp, ["", "", ""]))
    assert sum(nlp("cat").cats.values()) == pytest.approx(1.0)
    assert train(nlp, make_examples(nlp), 30)[-1] < 1.0


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(max_size=60), max_size=4))
def test_any_text(trained, texts):
    """In a batch as alone; scores in [0, 1] that sum to 1, or to 0 without tokens."""
    found = cats(trained, texts)
    assert_same(found, [trained(text).cats for text in texts])
    for text, scores in zip(texts, found, strict=True):
        assert all(0.0 <= score <= 1.0 for score in scores.values())
        assert sum(scores.values()) == pytest.approx(float(bool(text)), abs=1e-5)
    examples = [Example.from_dict(trained.make_doc(text), {"cats": {"food": 1.0}}) for text in texts]
    assert numpy.isfinite(trained.update(examples).get(NAME, 0.0))


@pytest.fixture
def trained(make):
    nlp = make()
    train(nlp, make_examples(nlp), 5)
    return nlp


# Labels


def test_labels_from_the_data(make):
    pipe = make().get_pipe(NAME)
    assert pipe.labels == pipe.label_data == ("animal", "food")
    assert make(exclusive=False).get_pipe(NAME).labels == ("animal", "food", "long")


def test_labels_from_a_file(make, tmp_path):
    """The file that `spacy init labels` writes: the component's label_data as JSON."""
    (tmp_path / "labels.json").write_text(json.dumps([*make().get_pipe(NAME).label_data, "new"]))
    nlp = make(initialize=False)
    labels = {"@readers": "spacy.read_labels.v1", "path": str(tmp_path / "labels.json")}
    nlp.config["initialize"]["components"][NAME] = {"labels": labels}
    nlp.initialize(lambda: make_examples(nlp))
    assert nlp.get_pipe(NAME).labels == ("animal", "food", "new")
    assert len(nlp("cat").cats) == 3


@pytest.mark.parametrize(
    "labels, exclusive", [([], False), ([], True), (["one"], True), (["one", "one"], None)]
)
def test_too_few_labels(make, labels, exclusive):
    nlp = make(initialize=False, exclusive=exclusive)
    doc = nlp.make_doc("a b")
    with pytest.raises(ConfigError, match="labels or more, got"):
        nlp.initialize(lambda: [Example.from_dict(doc, {"cats": dict.fromkeys(labels, 1.0)})])


def test_one_label_that_is_not_exclusive(make):
    nlp = make(initialize=False, exclusive=False)
    examples = [
        Example.from_dict(nlp.make_doc(text), {"cats": {"animal": gold_cats(text)["animal"]}})
        for text in TEXTS
    ]
    nlp.initialize(lambda: examples)
    train(nlp, examples)
    assert nlp("the cat sleeps").cats["animal"] > 0.9 and nlp("rice again").cats["animal"] < 0.1


@pytest.mark.parametrize("bad", [{"animal": 0.5}, {"animal": 1.0, "food": 1.0}])
def test_gold_that_cannot_be(make, bad):
    nlp = make()
    with pytest.raises(ConfigError, match="Expected gold|exclusive = false"):
        nlp.update([Example.from_dict(nlp.make_doc("cat"), {"cats": bad})])


def test_untrained_use(make, tmp_path):
    nlp = make(initialize=False)
    with pytest.raises(NotTrainedError, match="spacy train"):
        nlp("cat")
    with pytest.raises(NotTrainedError):
        nlp.update(make_examples(nlp))
    nlp.get_pipe(NAME).add_label("animal")
    with pytest.raises(NotTrainedError):
        nlp("cat")
    nlp.to_disk(tmp_path / "nlp")
    with pytest.raises(NotTrainedError):
        spacy.load(tmp_path / "nlp")("cat")


def test_labels_added_before_initialisation(make):
    nlp = make(initialize=False)
    nlp.get_pipe(NAME).add_label("first")
    nlp.initialize(lambda: make_examples(nlp))
    assert nlp.get_pipe(NAME).labels == ("first", "animal", "food")


# Missing annotation, and the loss


def get_loss(nlp, all_cats, logits, texts=None):
    texts = ["text"] * len(all_cats) if texts is None else texts
    examples = [
        Example.from_dict(nlp.make_doc(text), {"cats": gold})
        for text, gold in zip(texts, all_cats, strict=True)
    ]
    return nlp.get_pipe(NAME).get_loss(examples, logits)


@pytest.fixture
def three_labels(make):
    def make_with_three(exclusive):
        nlp = make(initialize=False, exclusive=exclusive)
        nlp.config["initialize"]["components"][NAME] = {"labels": ["a", "b", "c"]}
        nlp.initialize(lambda: make_examples(nlp))
        return nlp, numpy.random.default_rng(0).normal(scale=3, size=(6, 3)).astype("f")

    return make_with_three


def test_the_loss_of_exclusive_labels_is_the_cross_entropy(three_labels):
    nlp, logits = three_labels(True)
    gold = [{"a": 1.0, "b": 0.0, "c": 0.0}, {"b": 1.0}, {"c": 1.0, "a": 0.0}] * 2
    loss, gradient = get_loss(nlp, gold, logits)
    rows = torch.tensor(logits, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(rows, torch.tensor([0, 1, 2] * 2), reduction="sum")
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    numpy.testing.assert_allclose(gradient, rows.grad.numpy(), atol=1e-5)


def test_partly_annotated_exclusive_labels(three_labels):
    """Known to be false: the probability of the others is what is learnt. Nothing known: nothing is."""
    nlp, logits = three_labels(True)
    gold = [
        {"a": 0.0},
        {"a": 0.0, "b": 0.0},
        {},
        {"foreign": 1.0},
        {"a": 0.0, "b": 0.0, "c": 0.0},
        {"c": 1.0},
    ]
    texts = ["text"] * 5 + [""]
    loss, gradient = get_loss(nlp, gold, logits, texts)
    rows = torch.tensor(logits, requires_grad=True)
    odds = rows.softmax(dim=1)
    expected = -(odds[0, 1] + odds[0, 2]).log() - odds[1, 2].log()
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-4)
    numpy.testing.assert_allclose(gradient, rows.grad.numpy(), atol=1e-5)
    assert not gradient[2:].any()


def test_partly_annotated_labels_that_are_not_exclusive(three_labels):
    nlp, logits = three_labels(False)
    gold = [
        {"a": 1.0, "b": 1.0, "c": 0.0},
        {"b": 1.0},
        {"c": 0.0, "a": 1.0},
        {},
        {"foreign": 1.0},
        {"a": 1.0},
    ]
    loss, gradient = get_loss(nlp, gold, logits, ["text"] * 5 + [""])
    target = torch.tensor([[1, 1, 0], [0, 1, 0], [1, 0, 0], *[[0] * 3] * 3], dtype=torch.float32)
    weight = torch.tensor([[1, 1, 1], [0, 1, 0], [1, 0, 1], *[[0] * 3] * 3], dtype=torch.float32)
    rows = torch.tensor(logits, requires_grad=True)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(rows, target, weight, reduction="sum")
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    numpy.testing.assert_allclose(gradient, rows.grad.numpy(), atol=1e-5)


# Scoring


def score(nlp, predicted, gold):
    examples = []
    for scores, truth in zip(predicted, gold, strict=True):
        example = Example.from_dict(nlp.make_doc("text"), {"cats": truth})
        example.predicted.cats = scores
        examples.append(example)
    return nlp.get_pipe(NAME).score(examples), examples


def test_threshold(make):
    predicted = [{"animal": 0.6, "food": 0.2, "long": 0.0}, {"animal": 0.3, "food": 0.9, "long": 0.0}]
    gold = [{"animal": 1.0, "food": 0.0, "long": 0.0}, {"animal": 1.0, "food": 1.0, "long": 0.0}]
    recalls = {}
    for threshold in (0.25, 0.5, 0.7):
        nlp = make(exclusive=False, threshold=threshold)
        scores, examples = score(nlp, predicted, gold)
        recalls[threshold] = scores["cats_micro_r"]
        expected = Scorer.score_cats(examples, "cats", labels=list(gold[0]), threshold=threshold)
        assert scores == expected
    assert recalls == pytest.approx({0.25: 1.0, 0.5: 2 / 3, 0.7: 1 / 3})


@pytest.mark.parametrize("where", ["component", "initialize"])
def test_positive_label(make, where, tmp_path):
    nlp = make(initialize=False, **({"positive_label": "food"} if where == "component" else {}))
    if where == "initialize":
        nlp.config["initialize"]["components"][NAME] = {"positive_label": "food"}
    nlp.initialize(lambda: make_examples(nlp))
    nlp.to_disk(tmp_path / "nlp")
    for pipeline in (nlp, spacy.load(tmp_path / "nlp")):
        scores = pipeline.evaluate(make_examples(nlp))
        assert scores["cats_score_desc"] == "F (food)"
        assert scores["cats_score"] == scores["cats_f_per_type"]["food"]["f"]


@pytest.mark.parametrize(
    "config", [{"positive_label": "animals"}, {"positive_label": "food", "exclusive": False}]
)
def test_a_positive_label_that_is_none(make, config):
    with pytest.raises(ConfigError, match="positive_label"):
        make(**config)


def test_docs_without_gold_are_not_scored(make):
    predicted = [{"animal": 0.9, "food": 0.1}, {"animal": 0.8, "food": 0.2}, {"animal": 0.8, "food": 0.2}]
    scores, _ = score(make(), predicted, [{"animal": 1.0}, {}, {"foreign": 1.0}])
    assert scores["cats_micro_f"] == 1.0


# With other components


def test_many_listeners_on_one_transformer(make, make_examples, weights, tmp_path):
    """Two classifiers of texts on the same doc.cats, and one of tokens: all learn, activations go with the last."""
    nlp = make(initialize=False)
    nlp.add_pipe("bloom_token_classifier")
    nlp.add_pipe(NAME, name="length", config={"exclusive": False})
    nlp.config["initialize"]["components"] = {
        NAME: {"labels": ["names", "none"]},
        "length": {"labels": ["long"]},
    }
    examples = make_examples(nlp)
    for eg in examples:
        eg.reference.cats["long"] = float(len(eg.text) > 20)
    nlp.initialize(lambda: examples)
    before = weights(nlp)
    optimizer = Adam(0.005)
    losses = [nlp.update(examples, sgd=optimizer) for _ in range(40)]
    for name in (NAME, "length", "bloom_token_classifier"):
        assert losses[-1][name] < 0.2 * losses[0][name]
    assert any(not before[key].equal(value) for key, value in weights(nlp).items())
    nlp.to_disk(tmp_path / "nlp")
    for pipeline in (nlp, spacy.load(tmp_path / "nlp")):
        docs = list(pipeline.pipe([eg.text for eg in examples]))
        for doc, eg in zip(docs, examples, strict=True):
            assert doc._.trf_data is None
            if len(doc):
                assert {label for label, value in doc.cats.items() if value > 0.5} == {
                    label for label, value in eg.reference.cats.items() if value
                }
                assert [e.text for e in doc.ents] == [e.text for e in eg.reference.ents]
        assert pipeline.evaluate(examples)["ents_f"] > 0.9


def test_the_gradients_of_listeners_add_up(make, make_examples, monkeypatch):
    """What the transformer gets is the sum of what its listeners give, weighted by grad_factor."""
    nlp = make(initialize=False)
    nlp.add_pipe("bloom_token_classifier")
    examples = make_examples(nlp)
    nlp.initialize(lambda: examples)
    transformer = nlp.get_pipe("bloom_transformer")
    forward, seen = transformer.model._func, []

    def watch(model, docs, is_train):
        output, backprop = forward(model, docs, is_train)
        return (
            output,
            lambda d: seen.append([x.tensors[0] for x in d.doc_data if x.model_output]) or backprop(d),
        )

    monkeypatch.setattr(transformer.model, "_func", watch)
    sums = {}
    for exclude in ((), (NAME,), ("bloom_token_classifier",)):
        with nlp.select_pipes(disable=list(exclude)):
            nlp.update(examples, sgd=False, exclude=list(exclude))
        sums[exclude] = seen.pop()
        assert not seen
    for both, *single in zip(*sums.values(), strict=True):
        numpy.testing.assert_allclose(both, sum(single), atol=1e-4)


def test_a_transformer_of_its_own(make, tmp_path):
    nlp = make()
    train(nlp, make_examples(nlp), 5)
    expected = cats(nlp)
    nlp.replace_listeners("bloom_transformer", NAME, ["model.tok2vec"])
    assert_same(cats(nlp), expected)
    nlp.remove_pipe("bloom_transformer")
    assert_same(cats(nlp), expected)
    nlp.to_disk(tmp_path / "nlp")
    loaded = spacy.load(tmp_path / "nlp")
    assert_same(cats(loaded), expected)
    losses = train(loaded, make_examples(loaded))
    assert losses[-1] < 0.2 * losses[0]


def test_one_bad_doc_never_loses_its_batch(make, monkeypatch):
    nlp = make()
    expected = cats(nlp, ["cat", "", "rice"])
    forward = nlp.get_pipe(NAME).model._func

    def fail(model, docs, is_train):
        output = forward(model, docs, is_train)
        if any("BAD" in doc.text for doc in docs):
            raise RuntimeError("a bad Doc")
        return output

    monkeypatch.setattr(nlp.get_pipe(NAME).model, "_func", fail)
    seen = []
    nlp.set_error_handler(lambda name, proc, docs, error: seen.append((name, [doc.text for doc in docs])))
    assert_same(cats(nlp, ["cat", "BAD", "", "rice", "BAD"]), expected)
    assert seen == [(NAME, ["BAD"])] * 2


PROCESSES = """
import sys, spacy

if __name__ == "__main__":
    texts = ["the cat sleeps", "", "  ", "rice " * 40, "一只狗"] * 3
    nlp = spacy.load(sys.argv[1])
    two = list(nlp.pipe(texts, n_process=2, batch_size=3))
    for one, other in zip(nlp.pipe(texts), two, strict=True):
        assert one.text == other.text and list(one.cats) == list(other.cats)
        assert all(abs(one.cats[label] - other.cats[label]) < 1e-5 for label in one.cats)
    print("done")
"""


def test_two_processes(trained, tmp_path, python_spacy):
    """In a process of its own: a pipeline that hangs must not hang the tests."""
    trained.to_disk(tmp_path / "nlp")
    (tmp_path / "work.py").write_text(PROCESSES, encoding="utf8")
    done = python_spacy.run(tmp_path / "work.py", tmp_path / "nlp")
    assert done.returncode == 0 and done.stdout == "done\n", done.stdout + done.stderr


# Checkpoints with a classifier


@pytest.fixture
def hf_checkpoint(checkpoint, tmp_path):
    """A function that lets transformers write a classifier, with the tokenizer of the other checkpoint."""

    def write(problem_type=None, labels=("one", "two", "three")):
        torch.manual_seed(0)
        known = json.loads((Path(checkpoint) / "config.json").read_text())
        config = HfConfig(
            vocab_size=known["vocab_size"],
            pad_token_id=known["pad_token_id"],
            hidden_size=32,
            n_layer=2,
            n_head=4,
            initializer_range=0.3,
            id2label=dict(enumerate(labels)),
            label2id={label: i for i, label in enumerate(labels)},
            problem_type=problem_type,
        )
        model = HfModel(config).eval()
        model.save_pretrained(tmp_path / "hf")
        for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
            (tmp_path / "hf" / name).write_bytes((Path(checkpoint) / name).read_bytes())
        return tmp_path / "hf", model

    return write


def hf_nlp(path, bias=False, **config):
    nlp = spacy.blank("xx")
    nlp.add_pipe("bloom_transformer", config={"model": {"name": str(path)}, "keep_activations": True})
    nlp.add_pipe(NAME, config={"checkpoint": str(path), "model": {"bias": bias}, **config})
    return nlp


PROBLEMS = ["single_label_classification", "multi_label_classification"]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("problem_type", [None, *PROBLEMS])
def test_a_hugging_face_classifier(hf_checkpoint, problem_type, bias, tmp_path):
    """What transformers says of the same pieces, without training and after saving."""
    path, model = hf_checkpoint(problem_type)
    nlp = hf_nlp(path, bias)
    docs = list(nlp.pipe(EVERYTHING))
    exclusive = problem_type != PROBLEMS[1]
    assert nlp.get_pipe(NAME).labels == ("one", "two", "three")
    assert nlp.get_pipe(NAME).exclusive == exclusive
    for doc in filter(len, docs):
        ids = torch.tensor(doc._.trf_data.wordpieces.input_ids)
        with torch.no_grad():
            logits = model(ids).logits[0]
        odds = logits.softmax(dim=0) if exclusive else logits.sigmoid()
        assert list(doc.cats.values()) == pytest.approx(odds.tolist(), abs=1e-5)
    assert len({max(doc.cats, key=doc.cats.get) for doc in docs}) > 1
    nlp.to_disk(tmp_path / "nlp")
    path.rename(tmp_path / "gone")
    assert_same(cats(spacy.load(tmp_path / "nlp")), [doc.cats for doc in docs])


def test_a_checkpoint_has_no_second_classifier(hf_checkpoint, make):
    path, _ = hf_checkpoint(PROBLEMS[0])
    nlp = make(linear=NGRAMS, initialize=False, checkpoint=str(path))
    with pytest.raises(ConfigError, match="linear_model, for which the checkpoint"):
        nlp("cat")


def test_the_config_decides_over_the_checkpoint(hf_checkpoint):
    path, _ = hf_checkpoint(PROBLEMS[0])
    nlp = hf_nlp(path, exclusive=False)
    assert sum(nlp("cat").cats.values()) != pytest.approx(1.0, abs=1e-3) and not nlp.get_pipe(NAME).exclusive


def test_labels_that_the_file_does_not_name(hf_checkpoint):
    """transformers leaves two default labels out of config.json."""
    path, _ = hf_checkpoint(labels=["LABEL_0", "LABEL_1"])
    assert "id2label" not in json.loads((path / "config.json").read_text())
    assert list(hf_nlp(path)("cat").cats) == ["LABEL_0", "LABEL_1"]


@pytest.mark.parametrize("used", [True, False])
def test_a_hugging_face_classifier_is_saved_before_its_first_use(hf_checkpoint, tmp_path, used):
    path, _ = hf_checkpoint()
    expected = cats(hf_nlp(path))
    nlp, fresh = hf_nlp(path), hf_nlp(path)
    if used:
        nlp("cat")
    nlp.to_disk(tmp_path / "nlp")
    data = nlp.to_bytes()
    path.rename(tmp_path / "gone")
    assert_same(cats(spacy.load(tmp_path / "nlp")), expected)
    assert_same(cats(fresh.from_bytes(data)), expected)


def test_a_hugging_face_classifier_learns_on(hf_checkpoint):
    path, _ = hf_checkpoint(labels=["food", "animal"])
    nlp = hf_nlp(path)
    before = cats(hf_nlp(path))
    nlp.initialize(lambda: make_examples(nlp))
    assert nlp.get_pipe(NAME).labels == ("food", "animal")
    assert_same(cats(nlp), before)
    losses = train(nlp, make_examples(nlp))
    assert losses[-1] < 0.1 * losses[0]


def test_checkpoints_that_are_no_classifiers(checkpoint, hf_checkpoint):
    with pytest.raises(CheckpointError, match=r"score\.weight"):
        hf_nlp(checkpoint)("cat")
    path, _ = hf_checkpoint("regression")
    nlp = hf_nlp(path)
    for _ in range(2):  # it does not become usable by trying
        with pytest.raises(ConfigError, match="regression"):
            nlp("cat")
    path, _ = hf_checkpoint(labels=["only"])
    nlp = hf_nlp(path)
    for _ in range(2):
        with pytest.raises(ConfigError, match="2 labels or more"):
            nlp("cat")


# spacy train


def test_the_shipped_config(checkpoint, tmp_path, python_spacy):
    """In a process of its own, on a corpus with Docs without tokens and without annotation."""
    nlp = spacy.util.load_model_from_config(
        {"nlp": spacy.util.load_config(CONFIG)["nlp"] | {"pipeline": []}}, auto_fill=True
    )
    docs = []
    for text in [*TEXTS, *EMPTY] * 4:
        doc = nlp.make_doc(text)
        doc.cats = gold_cats(text)
        docs.append(doc)
    docs.append(nlp.make_doc("no annotation at all"))
    for name in ("train", "dev"):
        DocBin(docs=docs).to_disk(tmp_path / f"{name}.spacy")
    options = {
        "output": tmp_path / "training",
        "paths.train": tmp_path / "train.spacy",
        "paths.dev": tmp_path / "dev.spacy",
        "paths.checkpoint": checkpoint,
        "training.max_steps": 30,
        "training.optimizer.learn_rate.total_steps": 30,
        "training.eval_frequency": 15,
        "training.batcher.size": 200,
        "training.optimizer.learn_rate.initial_rate": 0.005,
        "training.optimizer.learn_rate.warmup_steps": 1,
    }
    arguments = [part for key, value in options.items() for part in (f"--{key}", str(value))]
    done = python_spacy.run("-m", "spacy", "train", CONFIG, *arguments)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stdout + done.stderr
    nlp = spacy.load(tmp_path / "training" / "model-best")
    assert nlp.meta["performance"]["cats_score"] > 0.8
    for text in TEXTS:
        assert max(nlp(text).cats.items(), key=lambda item: item[1])[0] == (
            "animal" if gold_cats(text)["animal"] else "food"
        )
    assert [nlp(text)._.trf_data for text in TEXTS] == [None] * len(TEXTS)
