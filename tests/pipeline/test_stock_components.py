"""spaCy's own components on bloom_transformer: they learn, teach the transformer, and are saved with it."""

import pytest
import spacy
import torch
from spacy.util import fix_random_seed
from thinc.api import Adam

FACTORIES = ["ner", "tagger", "morphologizer", "parser", "senter", "textcat", "spancat"]
# A frozen transformer knows listeners, not their components: one of tokens and one of texts will do for the stock kind.
FROZEN = [("ours", factory) for factory in FACTORIES] + [("stock", "tagger"), ("stock", "textcat")]


def train(nlp, examples, steps, *, rate=0.003, **options):
    optimizer = Adam(rate)
    losses = []
    for _ in range(steps):
        losses.append(nlp.update(examples, sgd=optimizer, **options))
    return losses


def changed(before, after):
    return sorted(name for name in before if not torch.equal(before[name], after[name]))


@pytest.mark.parametrize(
    ("factory", "kind"),
    [
        *((factory, kind) for factory in FACTORIES for kind in ("ours", "stock")),
        *((factory, "encoded") for factory in ("ner", "tagger", "parser")),
    ],
)
def test_learns_and_is_saved(make_nlp, make_examples, predictions, weights, tmp_path, factory, kind):
    fix_random_seed(0)
    nlp = make_nlp(factory, kind=kind)
    before, untrained = weights(nlp), predictions(nlp)
    losses = train(nlp, make_examples(nlp), 25)
    assert losses[-1][factory] < 0.7 * losses[0][factory]
    assert losses[-1]["bloom_transformer"] > 0
    assert len(changed(before, weights(nlp))) == len(before)
    expected = predictions(nlp)
    assert expected != untrained
    nlp.to_disk(tmp_path / "nlp")
    assert predictions(spacy.load(tmp_path / "nlp")) == expected
    fresh = make_nlp(factory, kind=kind, initialize=False)
    assert predictions(fresh.from_bytes(nlp.to_bytes())) == expected


@pytest.mark.parametrize("kind", ["ours", "stock"])
def test_all_at_once(make_nlp, make_examples, predictions, weights, tmp_path, kind):
    fix_random_seed(0)
    nlp = make_nlp(*FACTORIES, kind=kind)
    before = weights(nlp)
    losses = train(nlp, make_examples(nlp), 15)
    for factory in FACTORIES:
        assert losses[-1][factory] < losses[0][factory], factory
    assert len(changed(before, weights(nlp))) == len(before)
    expected = predictions(nlp)
    texts = [
        "Ana lives in Lima",
        "今天 Wei 在 Paris",
        "a",
        " ",
    ]  # spaCy's textcat differs for batches of empty Docs
    assert (
        predictions(nlp, texts, batch_size=1)
        == predictions(nlp, texts, batch_size=3)
        == predictions(nlp, texts)
    )
    nlp.to_disk(tmp_path / "nlp")
    assert predictions(spacy.load(tmp_path / "nlp")) == expected


def test_in_spacy_transformers_own_component(
    checkpoint, stock_config, make_examples, predictions, weights, tmp_path
):
    """The architecture works in the factory `transformer`, with a stock listener."""
    model = {
        "@architectures": "spacy-bloom.TransformerModel.v1",
        "name": checkpoint,
        "window": 24,
        "context": 6,
    }
    config = {
        "nlp": {"lang": "xx", "pipeline": ["transformer", "tagger"]},
        "components": {
            "transformer": {"factory": "transformer", "model": model},
            "tagger": {"factory": "tagger", **stock_config("tagger", "stock")},
        },
    }
    nlp = spacy.util.load_model_from_config(config, auto_fill=True)
    nlp.initialize(lambda: make_examples(nlp))
    before = weights(nlp, "transformer")
    losses = train(nlp, make_examples(nlp), 25)
    assert losses[-1]["tagger"] < 0.7 * losses[0]["tagger"]
    assert changed(before, weights(nlp, "transformer"))
    expected = predictions(nlp)
    nlp.to_disk(tmp_path / "nlp")
    assert predictions(spacy.load(tmp_path / "nlp")) == expected
    assert spacy.load(tmp_path / "nlp")("Ana")._.trf_data.tensors[0].shape[-1] == 32


@pytest.mark.parametrize("kind, factory", FROZEN)
def test_a_frozen_annotating_transformer(make_nlp, make_examples, weights, factory, kind):
    fix_random_seed(0)
    nlp = make_nlp(factory, kind=kind)
    before = weights(nlp)
    options = {"exclude": ["bloom_transformer"], "annotates": ["bloom_transformer"]}
    losses = train(nlp, make_examples(nlp), 20, rate=0.01, **options)
    assert losses[-1][factory] < 0.9 * losses[0][factory]
    assert changed(before, weights(nlp)) == []


@pytest.mark.parametrize("kind, factory", FROZEN)
def test_frozen_in_a_fresh_config(make_nlp, make_examples, factory, kind):
    """`spacy train` never initialises frozen components: what is pre-trained must work without."""
    fix_random_seed(0)
    nlp = make_nlp(factory, kind=kind, initialize=False)
    nlp._link_components()
    with nlp.select_pipes(disable=["bloom_transformer"]):
        nlp.initialize(lambda: make_examples(nlp))
    options = {"exclude": ["bloom_transformer"], "annotates": ["bloom_transformer"]}
    losses = train(nlp, make_examples(nlp), 20, rate=0.01, **options)
    assert losses[-1][factory] < 0.9 * losses[0][factory]
    nlp("Ana lives in Lima")


def test_a_component_that_learns_and_annotates(make_nlp, make_examples):
    """With a frozen transformer it reads the vectors twice, to learn and then to annotate."""
    nlp = make_nlp("ner", "tagger")  # the tagger is the last reader
    annotating = ["bloom_transformer", "tagger"]
    losses = train(nlp, make_examples(nlp), 15, exclude=["bloom_transformer"], annotates=annotating)
    assert losses[-1]["tagger"] < losses[0]["tagger"] and losses[-1]["ner"] < losses[0]["ner"]
    losses = train(nlp, make_examples(nlp), 5, annotates=annotating)
    assert losses[-1]["tagger"] < losses[0]["tagger"]
