"""What the tests of evaluation share: Docs with gold annotation, and a pipeline that is sometimes wrong."""

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import DocBin, Span
from spacy.training import Example

GOLD = {
    "en": ("Ana met Bo in Rio", [(0, 1, "PER"), (2, 3, "PER"), (4, 5, "LOC")]),
    "pt": ("Ana no Rio", [(0, 1, "PER")]),
    "xx": ("Nada", []),
}


@pytest.fixture
def nlp():
    """A pipeline that knows two entities."""
    nlp = spacy.blank("xx")
    patterns = [{"label": "PER", "pattern": "Ana"}, {"label": "LOC", "pattern": "Rio"}]
    nlp.add_pipe("entity_ruler").add_patterns(patterns)
    return nlp


@pytest.fixture
def gold(nlp):
    """A function that makes gold Docs. RETURNS: the Docs by language."""

    def make():
        docs = {}
        for lang, (text, entities) in GOLD.items():
            docs[lang] = nlp.make_doc(text)
            docs[lang].set_ents([Span(docs[lang], *entity) for entity in entities])
            docs[lang].user_data.update(lang=lang, genre="long" if len(docs[lang]) > 1 else "short")
        return docs

    return make


@pytest.fixture
def corpus(tmp_path, gold):
    """A folder with a file for each language."""
    for lang, doc in gold().items():
        DocBin(docs=[doc], store_user_data=True).to_disk(tmp_path / f"test.{lang}.spacy")
    return tmp_path


@pytest.fixture
def predict():
    """A function that runs a pipeline on gold Docs. RETURNS: pairs of groups and examples."""

    def run(nlp, docs, make_doc=None):
        make_doc = make_doc or (lambda doc: nlp.make_doc(doc.text))
        return [
            (doc.user_data.get("lang", "xx"), Example(predicted, doc))
            for doc, predicted in zip(docs, nlp.pipe(map(make_doc, docs)), strict=True)
        ]

    return run


@Language.component("sports_or_science")
def sports_or_science(doc):
    sports = float(doc.text in ("a goal", "射门", "投票"))
    doc.cats = {"sports": sports, "science": 1.0 - sports, "politics": 0.0}
    return doc


@Language.component("everything_hangs_on_the_second_word")
def everything_hangs_on_the_second_word(doc):
    for token in doc:
        token.pos_ = "VERB" if token.i == 1 else "PROPN"
        token.head, token.dep_ = doc[min(1, len(doc) - 1)], "punct" if token.is_punct else "obl"
    doc[min(1, len(doc) - 1)].dep_ = "ROOT"
    return doc
