"""What is read from generated texts and where it is written, without a model."""

import json
import pickle

import pytest
import spacy
from spacy.tokens import Doc, Span

from spacy_bloom import BloomTokenizerFast
from spacy_bloom.errors import ConfigError, InputError
from spacy_bloom.generation.generator import GeneratedPieces
from spacy_bloom.pipeline.prompting.generated_annotation import make_annotation, read_json
from spacy_bloom.pipeline.prompting.generator_settings import make_constraint_settings


@pytest.fixture(scope="module")
def tokenizer(checkpoint):
    return BloomTokenizerFast.from_pretrained(checkpoint)


@pytest.fixture
def doc():
    return spacy.blank("en")("Ana met Ana in Lima")


def make(constraint=None, *, attr="read_here", stops=(), max_new_tokens=20):
    settings = make_constraint_settings(constraint)
    return make_annotation(settings, attr=attr, stops=stops, max_new_tokens=max_new_tokens)


def generated(tokenizer, text, finished="eos"):
    """The pieces of a text as they would be generated, with the end."""
    pieces = (*tokenizer(text, split_special_tokens=True)["input_ids"], tokenizer.eos_token_id)
    return GeneratedPieces(0, 0, pieces, finished, text=text)


def read(annotation, unit, tokenizer, text):
    constraint = annotation.constraint(unit, tokenizer, leading_space=False)
    return annotation.read(unit, generated(tokenizer, text), constraint)


def test_free_text_ends_before_a_stop_string(doc, tokenizer):
    Doc.set_extension("read_here", default=None, force=True)
    annotation = make(stops=["\n"])
    assert annotation.constraint(doc, tokenizer, leading_space=True) is None
    sequence = generated(tokenizer, "yes\nno", "stop_string")
    assert annotation.read(doc, sequence, None) == ["yes"]
    annotation.write(doc, "yes")
    assert doc._.read_here == "yes"


def test_a_choice_is_written_beside_other_categories(doc, tokenizer):
    annotation = make({"type": "choice", "labels": ["news", "sport"]})
    assert read(annotation, doc, tokenizer, "sport") == ["sport"]
    assert read(annotation, doc, tokenizer, "spor") == []
    doc.cats["other"] = 0.5
    annotation.write(doc[0:2], "sport")
    assert doc.cats == {"other": 0.5, "news": 0.0, "sport": 1.0}


def test_a_label_that_does_not_fit_is_named(doc, tokenizer):
    annotation = make({"type": "choice", "labels": ["a", "qzxj" * 20]}, max_new_tokens=2)
    with pytest.raises(ConfigError, match="The label 'qzxj.*can never be chosen"):
        annotation.constraint(doc, tokenizer, leading_space=False)


@pytest.mark.parametrize(("occurrences", "expected"), [("all", [(0, 3), (8, 11)]), ("first", [(0, 3)])])
def test_spans_stand_where_their_text_does(doc, tokenizer, occurrences, expected):
    annotation = make({"type": "spans", "label": "X", "occurrences": occurrences})
    assert read(annotation, doc, tokenizer, "Ana") == [expected]
    assert read(annotation, doc, tokenizer, "An") == []
    doc.ents = [Span(doc, 2, 3, "PER")]
    annotation.write(doc, expected)
    assert (doc.ents[0].label_, doc.ents[-1].label_) == ("X", "PER") and len(doc.ents) == 2


def test_spans_of_a_part_are_inside_it_and_come_once(doc, tokenizer):
    annotation = make({"type": "spans", "label": "X", "target": "spans", "spans_key": "k"})
    (places,) = read(annotation, doc[2:5], tokenizer, "Ana")
    assert places == [(8, 11)]
    annotation.prepare(doc)
    assert list(doc.spans["k"]) == []
    for _ in range(2):
        annotation.write(doc[2:5], places)
    assert [(s.start, s.end, s.label_) for s in doc.spans["k"]] == [(2, 3, "X")]
    assert not annotation.applies(spacy.blank("en")("  \n"))


def test_a_span_without_time_is_an_error(doc, tokenizer):
    with pytest.raises(InputError, match="max_new_tokens"):
        make({"type": "spans", "label": "X"}, max_new_tokens=1).constraint(
            spacy.blank("en")("qzxjqzxj"), tokenizer, leading_space=True
        )


def test_json_is_parsed_and_what_cannot_be_saved_is_not_read(doc, tokenizer):
    annotation = make({"type": "json", "schema": {"type": "array", "maxItems": 2}})
    assert read(annotation, doc, tokenizer, '[1, "a"]') == [[1, "a"]]
    assert read(annotation, doc, tokenizer, "[1, ") == []
    assert read(annotation, doc, tokenizer, '["\\ud800"]') == []
    for wrong in ("NaN", '"\\ud800"', "[1"):
        with pytest.raises(ValueError):
            read_json(wrong)
    assert read_json(json.dumps({"é": [1.5]})) == {"é": [1.5]}


def test_a_grammar_is_made_once_for_each_way_to_begin(doc, tokenizer):
    annotation = make({"type": "regex", "pattern": "[0-9]{2}"})
    assert read(annotation, doc, tokenizer, "12") == ["12"]
    made = annotation.constraint(doc, tokenizer, leading_space=True)
    assert annotation.constraint(doc[0:1], tokenizer, leading_space=True) is made
    assert annotation.constraint(doc, tokenizer, leading_space=False) is not made
    again = pickle.loads(pickle.dumps(annotation))
    assert read(again, doc, tokenizer, "12") == ["12"]


def test_a_grammar_that_cannot_be_used_is_an_error_of_the_config():
    with pytest.raises(ConfigError, match="The component's constraint"):
        make({"type": "regex", "pattern": "(("})
