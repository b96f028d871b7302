import pytest
import spacy
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_bloom.errors import ConfigError
from spacy_bloom.pipeline.tagging.gold_tags import MISSING, count_overlapping, gold_labels, gold_tags

NLP = spacy.blank("xx")
TAGS = {
    "BIO": ["O", "B-X", "I-X"],
    "BILUO": ["O", "B-X", "I-X", "L-X", "U-X"],
    "BIOES": ["O", "B-X", "I-X", "E-X", "S-X"],
    "IO": ["O", "X"],
    "IO with prefixes": ["O", "I-X"],
}


def gold(example, tags, target="ents", key="sc"):
    """The gold tags as text, None where missing."""
    index = {tag: i for i, tag in enumerate(tags)}
    found = gold_tags(example, index, target=target, spans_key=key, name="classifier")
    assert len(found) == len(example.predicted)
    return [None if i == MISSING else tags[i] for i in found]


def example(words, **annotation):
    return Example.from_dict(Doc(NLP.vocab, words=words), {"words": words, **annotation})


@pytest.mark.parametrize(
    "scheme, expected",
    [
        ("BIO", ["B-X", "I-X", "I-X", "O", "B-X"]),
        ("BILUO", ["B-X", "I-X", "L-X", "O", "U-X"]),
        ("BIOES", ["B-X", "I-X", "E-X", "O", "S-X"]),
        ("IO", ["X", "X", "X", "O", "X"]),
        ("IO with prefixes", ["I-X", "I-X", "I-X", "O", "I-X"]),
    ],
)
@pytest.mark.parametrize("target", ["ents", "spans"])
def test_every_scheme(scheme, expected, target):
    eg = example(list("abcde"), entities=["B-X", "I-X", "L-X", "O", "U-X"])
    eg.reference.spans["sc"] = list(eg.reference.ents)
    assert gold(eg, TAGS[scheme], target) == expected


def test_missing_entities():
    eg = example(list("abcd"), entities=["U-X", "-", "O", "-"])
    assert gold(eg, TAGS["BIO"]) == ["B-X", None, "O", None]


@pytest.mark.parametrize("target", ["ents", "spans", "tag", "pos"])
def test_no_annotation_at_all(target):
    eg = Example(NLP.make_doc("a b c"), NLP.make_doc("a b c"))
    assert gold(eg, TAGS["BIO"], target) == [None] * 3


@pytest.mark.parametrize("target", ["ents", "spans", "tag", "pos"])
def test_no_tokens(target):
    assert gold(Example(NLP.make_doc(""), NLP.make_doc("")), TAGS["BIO"], target) == []


def test_an_empty_group_of_spans_is_annotation():
    eg = example(list("ab"))
    eg.reference.spans["sc"] = []
    assert gold(eg, TAGS["BIO"], "spans") == ["O", "O"]
    assert gold(eg, TAGS["BIO"], "spans", key="other") == [None, None]


def test_overlapping_spans_leave_a_legal_sequence():
    eg = example(list("abcd"))
    eg.reference.spans["sc"] = [
        Span(eg.reference, 0, 2, "X"),
        Span(eg.reference, 1, 4, "X"),
        Span(eg.reference, 3, 4, "X"),
    ]
    # Of what only the second one covers nothing is known.
    assert gold(eg, TAGS["BILUO"], "spans") == ["B-X", "L-X", None, "U-X"]
    eg.reference.spans["inner"] = [Span(eg.reference, 1, 2, "X"), Span(eg.reference, 0, 3, "X")]
    assert gold(eg, TAGS["BILUO"], "spans", key="inner") == [None, "U-X", None, "O"]
    assert count_overlapping([eg, eg], "sc") == (2, 6) and count_overlapping([eg], "other") == (0, 0)


@pytest.mark.parametrize("target, tags", [("tag", ["N", "V"]), ("pos", ["NOUN", "VERB"])])
def test_tags(target, tags):
    eg = example(list("abc"), tags=["N", "", "V"], pos=["NOUN", "", "VERB"])
    assert gold(eg, tags, target) == [tags[0], None, tags[1]]


@pytest.mark.parametrize("target", ["ents", "spans"])
def test_predicted_tokens_are_finer(target):
    predicted = Doc(
        NLP.vocab, words=["New", "Yo", "rk", "is", "big"], spaces=[True, False, True, True, False]
    )
    reference = Doc(NLP.vocab, words=["New", "York", "is", "big"], ents=["B-X", "I-X", "O", "O"])
    reference.spans["sc"] = list(reference.ents)
    assert gold(Example(predicted, reference), TAGS["BIO"], target) == ["B-X", "I-X", "I-X", "O", "O"]


@pytest.mark.parametrize("target", ["ents", "spans"])
def test_predicted_tokens_are_wider(target):
    """Nothing is known of a token that holds an entity and more."""
    predicted = Doc(NLP.vocab, words=["to", "NewYork!"], spaces=[True, False])
    reference = Doc(
        NLP.vocab,
        words=["to", "New", "York", "!"],
        spaces=[True, False, False, False],
        ents=["O", "B-X", "I-X", "O"],
    )
    reference.spans["sc"] = list(reference.ents)
    found = gold(Example(predicted, reference), TAGS["BIO"], target)
    assert list(found) == ["O", None]


def test_tags_of_tokens_that_do_not_align_are_missing():
    predicted = Doc(NLP.vocab, words=["ab", "c", "d"], spaces=[False, False, False])
    reference = Doc(NLP.vocab, words=["a", "b", "cd"], spaces=[False, False, False], tags=["N", "V", "N"])
    assert gold(Example(predicted, reference), ["N", "V"], "tag")[0] is None


@pytest.mark.parametrize("target", ["ents", "spans", "tag", "pos"])
def test_unknown_labels_are_named(target):
    eg = example(["a"], entities=["U-Z"], tags=["Z"], pos=["NOUN"])
    eg.reference.spans["sc"] = list(eg.reference.ents)
    with pytest.raises(ConfigError, match=r"'classifier' got the gold label '(Z|NOUN)'"):
        gold(eg, ["O", "B-X", "I-X"], target)


@pytest.mark.parametrize(
    "target, expected", [("ents", {"X", "Y-Z"}), ("spans", {"Q"}), ("tag", {"N"}), ("pos", {"VERB"})]
)
def test_labels(target, expected):
    eg = example(list("abc"), entities=["U-X", "O", "U-Y-Z"], tags=["N", "", "N"], pos=["", "VERB", ""])
    eg.reference.spans["sc"] = [Span(eg.reference, 0, 1, "Q")]
    eg.reference.spans["other"] = [Span(eg.reference, 0, 1, "R")]
    empty = Example(NLP.make_doc(""), NLP.make_doc(""))
    assert gold_labels([eg, empty], target=target, spans_key="sc") == expected


@pytest.mark.parametrize(
    "words, places, expected",
    [
        (["Ana", "\n", "Lima"], [(0, 2)], [None, None, "O"]),  # ends with white space
        (["\n", "Ana", "Lima"], [(0, 2)], [None, None, "O"]),  # begins with it
        (["Ana", "\n", "Lima"], [(1, 2)], ["O", None, "O"]),  # is nothing else
        (["Ana", "\t", "Lima"], [(0, 3)], ["B-X", "I-X", "L-X"]),  # has it inside
        (["Ana", " ", "Lima"], [(0, 1), (1, 3)], ["U-X", None, None]),
    ],
)
@pytest.mark.parametrize("target", ["ents", "spans"])
def test_spans_that_begin_or_end_with_white_space_are_not_learnt(words, places, expected, target):
    doc = Doc(NLP.vocab, words=words, spaces=[False] * len(words))
    reference = doc.copy()
    reference.ents = [Span(reference, *place, "X") for place in places]
    reference.spans["sc"] = list(reference.ents)
    assert gold(Example(doc, reference), TAGS["BILUO"], target) == expected
