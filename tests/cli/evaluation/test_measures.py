"""Scores are spaCy's own, with counts."""

import pytest
import spacy
from spacy.tokens import Doc, Span
from spacy.training.converters import conllu_to_docs

from spacy_bloom.cli.evaluation.measures import (
    find_measure,
    find_tasks,
    score_answers,
    score_categories,
    score_entities,
    score_spans,
    score_surprisal,
    score_syntax,
    shown,
)
from spacy_bloom.errors import InputError
from spacy_bloom.pipeline.answering.answers import Answer, set_answers

FRENCH = """1\tIl\til\tPRON\t_\tNumber=Sing\t2\tnsubj\t_\t_
2\tvient\tvenir\tVERB\t_\tNumber=Sing|Person=3\t0\troot\t_\t_
3\tdu\tdu\tADP\t_\t_\t4\tcase\t_\t_
4\tNil\tNil\tPROPN\t_\t_\t2\tobl\t_\tSpaceAfter=No
5\t.\t.\tPUNCT\t_\t_\t2\tpunct\t_\t_

1\tOui\toui\tINTJ\t_\t_\t0\troot\t_\t_
2\t!\t!\tPUNCT\t_\t_\t1\tpunct\t_\t_
"""


def with_gold_tokens(nlp):
    return lambda doc: Doc(nlp.vocab, [t.text for t in doc], [bool(t.whitespace_) for t in doc])


def test_entities(nlp, gold, predict):
    for lang, example in predict(nlp, gold().values()):
        scores, row = nlp.evaluate([example]), score_entities([example])
        for ours, theirs in (("precision", "ents_p"), ("recall", "ents_r"), ("f_score", "ents_f")):
            assert row[ours] == pytest.approx(scores[theirs] or 0.0)
        counts = [row[name] for name in ("docs", "gold", "predicted", "right")]
        assert counts == {"en": [1, 3, 2, 2], "pt": [1, 1, 2, 1], "xx": [1, 0, 0, 0]}[lang]


def test_spans_that_overlap(nlp, predict):
    docs = [nlp.make_doc("Bank of Lima")]
    docs[0].spans["sc"] = [Span(docs[0], 0, 3, "ORG"), Span(docs[0], 2, 3, "LOC")]
    [(_, example)] = predict(spacy.blank("xx"), docs)
    doc = example.predicted
    doc.spans["sc"] = [Span(doc, 0, 3, "ORG"), Span(doc, 0, 1, "LOC")]
    row = score_spans([example], "sc")
    assert (row["gold"], row["predicted"], row["right"], row["f_score"]) == (2, 2, 1, 0.5)
    assert find_tasks(nlp, [example]) == ["spans.sc"] and find_measure("spans.sc").title == "Spans 'sc'"


def test_categories(predict):
    nlp = spacy.blank("xx")
    nlp.add_pipe("sports_or_science")
    docs = []
    for text, label in (("射门", "sports"), ("原子", "science"), ("投票", "politics"), ("x", None)):
        doc = nlp.make_doc(text)
        doc.cats = {each: float(each == label) for each in ("sports", "science", "politics")} if label else {}
        docs.append(doc)
    examples = [example for _, example in predict(nlp, docs)]
    f_score = (2 / 3 + 1 + 0) / 3  # sports: precision 1/2, recall 1
    expected = {"docs": 3, "right": 2, "accuracy": 2 / 3, "f_score": f_score}
    assert score_categories(examples) == pytest.approx(expected)
    assert find_tasks(nlp, examples) == ["cats"]


def test_syntax(predict):
    nlp = spacy.blank("xx")
    nlp.add_pipe("everything_hangs_on_the_second_word")
    docs = list(conllu_to_docs(FRENCH, n_sents=1, no_print=True))
    row = score_syntax([example for _, example in predict(nlp, docs, with_gold_tokens(nlp))])
    # Right are the parts of speech of "vient" and "Nil", and the heads of "Il", "vient" and "Nil". Punctuation is not
    # counted: of 5 gold and 6 predicted heads, since "!" is predicted as a root.
    assert row == pytest.approx(
        {"docs": 2, "tokens": 7, "tag_acc": 0.0, "pos_acc": 2 / 7, "morph_acc": row["morph_acc"], "lemma_acc": 0.0,
         "uas": 6 / 11, "las": 4 / 11, "sents_f": 1.0}
    )  # fmt: skip
    nothing = score_syntax(
        [example for _, example in predict(spacy.blank("xx"), docs, with_gold_tokens(nlp))]
    )
    assert (nothing["pos_acc"], nothing["uas"], nothing["las"], nothing["sents_f"]) == (0.0, 0.0, 0.0, 0.0)


def test_answers(predict):
    nlp = spacy.blank("xx")
    doc = nlp.make_doc("Ana lives in Lima")
    set_answers(doc, {"Where?": [Answer(3, 4)], "Who?": [Answer(0, 1)], "Why?": []})
    [(_, example)] = predict(nlp, [doc])
    set_answers(example.predicted, {"Where?": [Answer(2, 4, 1.0)], "Who?": [Answer(0, 1, 1.0)]})
    row = score_answers([example])
    assert (row["docs"], row["gold"], row["em"]) == (1, 3, pytest.approx(2 / 3))
    assert row["f1"] == pytest.approx((2 / 3 + 1 + 1) / 3)
    assert find_tasks(nlp, [example]) == ["qa"]


def test_bits_of_a_byte(predict):
    nlp = spacy.blank("xx")
    nlp.add_pipe("bloom_surprisal")
    docs = [nlp.make_doc(text) for text in ("The river was high.", "", "नदी")]
    examples = [example for _, example in predict(nlp, docs)]
    bits = [examples[0].predicted._.bits_per_byte, examples[2].predicted._.bits_per_byte]
    row = score_surprisal(examples)
    assert (row["docs"], row["bytes"]) == (2, 28)
    assert row["bits_per_byte"] == pytest.approx((19 * bits[0] + 9 * bits[1]) / 28)
    assert find_tasks(nlp, examples) == ["bits"]


def test_what_cannot_be_measured(predict):
    with pytest.raises(InputError, match="Expected one of the tasks ents, .*got 'entities'"):
        find_measure("entities")
    nlp = spacy.blank("xx")
    with pytest.raises(InputError, match=r"no annotation that the pipeline \(empty\) writes"):
        find_tasks(nlp, [example for _, example in predict(nlp, [nlp.make_doc("a")])])


def test_figures_for_reading():
    assert [shown("docs", 1200), shown("uas", 0.12345), shown("bits_per_byte", 1.5), shown("las", None)] == [
        "1,200", "12.35", "1.500", ""
    ]  # fmt: skip
