"""The page shows bars, tables, confusions and mistakes, and escapes what it shows."""

import spacy
from spacy.tokens import Span
from spacy.training import Example

from spacy_bloom.cli.evaluation.results import evaluate_task
from spacy_bloom.cli.pages.evaluation_page import Evaluation, render_evaluation

NLP = spacy.blank("xx")


def pair(text, gold, predicted, key=None):
    docs = [NLP.make_doc(text), NLP.make_doc(text)]
    for doc, spans in zip(docs, (gold, predicted), strict=True):
        found = [Span(doc, *span) for span in spans]
        if key is None:
            doc.set_ents(found)
        else:
            doc.spans[key] = found
    return Example(docs[1], docs[0])


def render(task, found):
    result = evaluate_task(task, found, n_mistakes=3)
    return render_evaluation(Evaluation("<my> pipeline", "corpus", "lang", len(found), 100.0, [result]))


def test_entities():
    found = [
        ("en", pair("Ana met <b>Bo</b> there", [(0, 1, "PER")], [(0, 1, "LOC")])),
        ("ar", pair("محمد هنا", [(0, 1, "PER")], [(0, 1, "PER")])),
    ]
    page = render("ents", found)
    assert "&lt;my&gt; pipeline" in page and "<b>Bo" not in page and "&lt;b&gt;Bo" in page
    assert (
        '<i style="width: 100.00%">' in page and '<i style="width: 0.00%">' in page
    )  # ar is right, en is not
    assert (
        "By label" in page and "Confusion" in page and "rgba(250, 82, 82, 0.30)" in page
    )  # half of PER is LOC
    assert "PER ✗" in page and "LOC ✗" in page and "محمد" not in page  # what is right is not shown
    assert "http" not in page.replace("http://www.w3.org", "")


def test_direction_of_a_mistake():
    page = render("ents", [("ar", pair("محمد هنا", [(0, 1, "PER")], []))])
    assert '<div dir="rtl">' in page


def test_spans_that_overlap_are_all_marked():
    spans = [(0, 3, "ORG"), (2, 3, "LOC")]
    page = render("spans.sc", [("en", pair("Bank of Lima", spans, spans[:1], "sc"))])
    assert "LOC ✗" in page and "ORG" in page and 'class="spans"' in page


def test_many_labels_have_no_matrix():
    spans = [(i, i + 1, f"L{i}") for i in range(30)]
    page = render("ents", [("en", pair(" ".join("abc" for _ in range(30)), spans, []))])
    assert "31 labels are too many for a matrix" in page
