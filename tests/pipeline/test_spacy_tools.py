"""What spaCy's own commands make of our components."""

import pytest
import spacy
from spacy.cli.debug_data import debug_data
from spacy.cli.evaluate import evaluate
from spacy.tokens import DocBin, Span
from spacy.training import Example
from spacy.training.loop import update_meta
from thinc.api import Adam

from spacy_bloom import bundled_path

TEXTS = ["Clara lives in Paris", "Omar sees Rome", "Rome is here"]
COMPONENTS = {
    "ents": ("bloom_token_classifier", {}),
    "spans": ("bloom_token_classifier", {"target": "spans"}),
    "tags": ("bloom_token_classifier", {"target": "tag"}),
    "topics": ("bloom_text_classifier", {"exclusive": True}),
    "themes": ("bloom_text_classifier", {"exclusive": False}),
}


def gold(nlp, text):
    doc = nlp.make_doc(text)
    doc.ents = [Span(doc, 0, 1, "PER")]
    doc.spans["sc"] = [Span(doc, 0, 1, "FIRST"), Span(doc, len(doc) - 1, len(doc), "LAST")]
    doc.cats = {"short": float(len(doc) < 4), "long": float(len(doc) >= 4)}
    for token in doc:
        token.tag_ = "CAPITAL" if token.text.istitle() else "SMALL"
    return doc


@pytest.fixture
def make(add_transformer, tmp_path):
    def make_pipeline(*names):
        nlp = spacy.blank("en")
        add_transformer(nlp)
        for name in names:
            factory, config = COMPONENTS[name]
            nlp.add_pipe(factory, name=name, config=config)
        path = tmp_path / "gold.spacy"
        DocBin(docs=[gold(nlp, text) for text in TEXTS]).to_disk(path)
        for corpus in ("train", "dev"):
            nlp.config["corpora"][corpus]["path"] = str(path)
        return nlp

    return make_pipeline


@pytest.mark.parametrize(
    "name, expected",
    [
        ("ents", ["Named Entity Recognition", "'PER' (3)"]),
        ("spans", ["Span Categorization", "'FIRST' (3)", "'LAST' (3)"]),
        ("tags", ["Part-of-speech Tagging", "'CAPITAL'"]),
        ("topics", ["Exclusive Classes", "2 label(s)", "'short'"]),
        ("themes", ["Multilabel", "2 label(s)", "'long'"]),
    ],
)
def test_debug_data_counts_labels(make, name, expected, tmp_path, capsys):
    make(name).config.to_disk(tmp_path / "config.cfg")
    with pytest.raises(SystemExit):  # as three texts are too few
        debug_data(tmp_path / "config.cfg", silent=False, no_format=True, verbose=True)
    found = capsys.readouterr().out
    assert [text for text in expected if text not in found] == []


def test_evaluate_renders_entities_and_spans(make, tmp_path):
    nlp = make("ents", "spans")
    examples = [Example(nlp.make_doc(text), gold(nlp, text)) for text in TEXTS]
    nlp.initialize(lambda: examples)
    optimizer = Adam(0.005)
    for _ in range(20):
        nlp.update(examples, sgd=optimizer)
    nlp.to_disk(tmp_path / "nlp")
    (tmp_path / "pages").mkdir()
    scores = evaluate(str(tmp_path / "nlp"), tmp_path / "gold.spacy", displacy_path=tmp_path / "pages")
    assert scores["ents_f"] == scores["spans_sc_f"] == 1.0
    assert (tmp_path / "pages" / "entities.html").read_text("utf8").count("PER") == len(TEXTS)
    assert "LAST" in (tmp_path / "pages" / "spans.html").read_text("utf8")


@pytest.mark.parametrize(
    "names, written",
    [(["ents"], {"ents_f"}), (["spans"], {"spans_sc_f"}), (["tags", "ents"], {"tag_acc", "ents_f"})],
)
def test_the_meta_of_a_package_lists_scores_that_it_has(make, names, written):
    nlp = make(*names)
    info = {"other_scores": dict.fromkeys(written, 0.5), "losses": {}}
    update_meta(nlp.config["training"], nlp, info)
    performance = {name: score for name, score in nlp.meta["performance"].items() if "_loss" not in name}
    assert performance == dict.fromkeys(written, 0.5)


@pytest.mark.parametrize("name", COMPONENTS)
def test_rehearsing_does_nothing(make, name):
    """There is nothing that could be compared: the vectors of the transformer change too."""
    nlp = make(name)
    examples = [Example(nlp.make_doc(text), gold(nlp, text)) for text in TEXTS]
    nlp.initialize(lambda: examples)
    before = nlp.get_pipe(name).model.to_bytes()
    assert nlp.rehearse(examples, sgd=nlp.resume_training()) == {}
    assert nlp.get_pipe(name).model.to_bytes() == before


@pytest.mark.parametrize(
    "texts",
    [
        ["Angela Merkel\n\nlives in Paris.\r\n", "\n\nClara Mendes\n", " \t Rome \t "],
        ["Name:\tJohn Smith\nCity:\tNew York\n"],
        ["\n", " ", "\r\n\r\n"],
    ],
)
def test_entities_of_a_trained_pipeline_do_not_begin_or_end_with_white_space(texts):
    nlp = spacy.load(bundled_path("xx_bloom_tiny_demo"))
    for doc in nlp.pipe(texts):
        assert not any(ent[0].is_space or ent[-1].is_space for ent in doc.ents)
