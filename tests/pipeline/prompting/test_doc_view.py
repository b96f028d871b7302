"""Templates see data and views of data, never spaCy's own objects."""

import numpy
import pytest
import spacy
from spacy.tokens import Doc, Span

from spacy_bloom.errors import InputError
from spacy_bloom.pipeline.prompting.doc_view import DocView, MappingView, SpanView, plain


@pytest.fixture
def doc():
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    doc = nlp("Ana lives in Lima. She knows it.")
    doc.ents = [Span(doc, 0, 1, "PER"), Span(doc, 3, 4, "LOC")]
    doc.spans["places"] = [doc[3:4]]
    doc.cats = {"city": 1.0}
    doc.user_data["note"] = ["a", {"b": 1}]
    return doc


def test_a_docs_contents(doc):
    view = DocView(doc)
    assert str(view) == view.text == doc.text
    assert [(e.text, e.label_, e.start_char, e.end_char) for e in view.ents] == [
        ("Ana", "PER", 0, 3),
        ("Lima", "LOC", 13, 17),
    ]
    assert [s.text for s in view.sents] == ["Ana lives in Lima.", "She knows it."]
    assert [s.text for s in view.spans["places"]] == ["Lima"] and dict(view.cats) == {"city": 1.0}
    assert view.ents[1].sent.text == "Ana lives in Lima." and [e.text for e in view.sents[0].ents] == [
        "Ana",
        "Lima",
    ]


def test_user_data_is_shown_by_name_and_as_views(doc):
    Doc.set_extension("for_view", default=None, force=True)
    doc._.for_view = (1, "x")
    view = DocView(doc)
    assert list(view.user_data) == ["note"]  # extensions are stored under tuples
    first, second = view.user_data["note"]
    assert first == "a" and isinstance(second, MappingView) and second["b"] == 1 and len(second) == 1
    assert view._.for_view == (1, "x")


def test_hidden_names_and_methods_are_missing(doc):
    Doc.set_extension("shout", method=lambda doc: doc.text.upper(), force=True)
    for name in ("_extensions", "nothing"):
        with pytest.raises(AttributeError):
            getattr(DocView(doc)._, name)


def test_plain_data_stays_and_spacys_objects_become_views(doc):
    assert [plain(x) for x in (None, True, 3, 1.5, "a", numpy.float32(2.0))] == [None, True, 3, 1.5, "a", 2.0]
    assert plain([1, [2]]) == (1, (2,)) and plain({3}) == (3,)
    assert isinstance(plain(doc), DocView) and isinstance(plain(doc[0:2]), SpanView)
    assert isinstance(plain(doc[0]), SpanView) and plain(doc[0]).text == "Ana"
    for value in (doc.vocab, print, b"bytes", object()):
        with pytest.raises(InputError, match="where a prompt template asks for data"):
            plain(value)
