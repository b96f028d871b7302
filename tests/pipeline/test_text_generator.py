"""Generation on Docs: what is written and where, the same in any batch, limits, and one bad Doc alone."""

import copy
import json
import pickle
import re
import warnings

import pytest
import spacy
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, Span
from spacy.util import load_model_from_config

from spacy_bloom.errors import BloomWarning, ConfigError
from spacy_bloom.pipeline import text_generator
from spacy_bloom.pipeline.prompting.prompt_template import PromptTemplate

NAME = "bloom_text_generator"
TEXTS = [
    "Ana lives in Lima near Rio. Ana knows it.",
    "今天 Wei 在 Paris 。",
    "Omar",
    "The café in Lisboa is open </s> now, and it stays open until the last guest has gone home.",
    "",
    "No names here at all! None. Not one?",
    "  \n ",
    "river " * 30,
]


@pytest.fixture
def make(checkpoint):
    """A function that makes a pipeline of sentence borders and a generator."""

    def make_pipeline(**config):
        nlp = spacy.blank("xx")
        nlp.add_pipe("sentencizer")
        nlp.add_pipe(NAME, config={"model": {"name": checkpoint}, "max_new_tokens": 12, **config})
        return nlp

    return make_pipeline


def failing(nlp):
    """Let the pipeline note Docs that fail. RETURNS (list): Of their texts and errors."""
    failed = []
    nlp.set_error_handler(lambda name, pipe, docs, error: failed.extend((d.text, str(error)) for d in docs))
    return failed


def change(module):
    """Give a model other weights, in memory of its own: what it has may belong to other models too."""
    for parameter in module.parameters():
        parameter.data = parameter.data.flip(0).clone()


# Text


def test_as_in_the_readme():
    nlp = spacy.blank("xx")
    nlp.add_pipe("bloom_transformer")
    nlp.add_pipe("bloom_text_generator", config={"prompt": "{{ doc.text }}", "max_new_tokens": 20})
    assert nlp("The capital of France is")._.generated


def test_the_text_is_what_the_model_generates(make):
    nlp = make(prompt="Say: {{ doc.text }}")
    pipe = nlp.get_pipe(NAME)
    for doc in nlp.pipe(TEXTS):
        ids = pipe.tokenizer("Say: " + doc.text, split_special_tokens=True, return_tensors="pt").input_ids
        expected = pipe.language_model.generate(ids, tokenizer=pipe.tokenizer, max_new_tokens=12)[
            0, ids.shape[-1] :
        ]
        assert doc._.generated == pipe.tokenizer.decode(expected.tolist(), skip_special_tokens=True)


def test_the_weights_of_a_transformer(make, checkpoint):
    nlp = spacy.blank("xx")
    nlp.add_pipe("bloom_transformer", config={"model": {"name": checkpoint}})
    nlp.add_pipe(NAME, config={"upstream": "bloom_transformer", "max_new_tokens": 12})
    before = nlp("The river")._.generated
    assert before == make()("The river")._.generated
    change(nlp.get_pipe("bloom_transformer").model.shims[0].module)
    assert nlp("The river")._.generated != before


def test_stop_strings_end_the_text_and_are_no_part_of_it(make):
    full = make(max_new_tokens=30)("The river")._.generated
    stop = full[len(full) // 2 : len(full) // 2 + 2]
    found = make(max_new_tokens=30, generation={"stop_strings": [stop, "~never~"]})("The river")._.generated
    assert found == full[: full.index(stop)]


def test_several_sequences_are_a_list(make):
    options = {"do_sample": True, "num_return_sequences": 3}
    for doc in make(generation=options).pipe(TEXTS):
        assert len(doc._.generated) == 3 and len(set(doc._.generated)) > 1
    beams = make(generation={"num_beams": 3, "num_return_sequences": 2})
    assert all(len(doc._.generated) == 2 for doc in beams.pipe(TEXTS))


def test_per_sentence(make):
    nlp = make(prompt="{{ sent.text }}", per="sent", attr="said")
    doc = nlp(TEXTS[0])
    assert [s._.said for s in doc.sents] == [nlp(s.text)[:]._.said for s in doc.sents]
    assert len({s._.said for s in doc.sents}) == 2


@pytest.mark.parametrize("spans_key", [None, "sc"])
def test_per_span(make, spans_key):
    nlp = make(prompt="{{ span.sent }} {{ span.label_ }}", per="span", spans_key=spans_key, attr="told")
    doc = nlp.make_doc(TEXTS[0])
    spans = [Span(doc, 0, 1, "PER"), Span(doc, 3, 4, "LOC")]
    if spans_key is None:
        doc.ents = spans
    else:
        doc.spans[spans_key] = spans
    doc = nlp(doc)
    assert all(span._.told for span in spans) and spans[0]._.told != spans[1]._.told
    assert doc[5:6]._.told is None
    assert nlp("nothing is marked here").text


def test_an_extension_that_cannot_be_written(make):
    Doc.set_extension("only_read", getter=lambda doc: 1, force=True)
    with pytest.raises(ConfigError, match="only_read.*getter"):
        make(attr="only_read")
    Doc.set_extension("a_method", method=lambda doc: 1, force=True)
    with pytest.raises(ConfigError, match="method"):
        make(attr="a_method")


# The same in any batch

OPTIONS = {
    "greedy": {},
    "sampled": {"do_sample": True, "temperature": 1.3, "top_k": 40, "min_p": 0.001},
    "beams": {"num_beams": 3},
    "drafts": {"prompt_lookup_num_tokens": 4, "repetition_penalty": 1.2, "no_repeat_ngram_size": 3},
    "shortlist": {"shortlist": True, "no_repeat_ngram_size": 3},
    "typical": {"do_sample": True, "typical_p": 0.9, "top_p": 0.95},
}
CONSTRAINTS = {
    "free": {},
    "choice": {"constraint": {"type": "choice", "labels": ["news", "sport", "sports news", "天气"]}},
    "ents": {"constraint": {"type": "spans", "label": "X"}},
    "spans": {"constraint": {"type": "spans", "label": "X", "target": "spans", "spans_key": "k"}},
    "regex": {"constraint": {"type": "regex", "pattern": "[0-9]{4}"}},
}


def written(doc):
    spans = {key: [(s.start, s.end, s.label_) for s in group] for key, group in doc.spans.items()}
    return doc.text, doc._.generated, doc.cats, [(e.start, e.end, e.label_) for e in doc.ents], spans


@pytest.mark.parametrize("options", sorted(OPTIONS))
@pytest.mark.parametrize("constraint", ["free", "ents"])
def test_same_in_any_batch(make, options, constraint):
    config = {"generation": OPTIONS[options], **CONSTRAINTS[constraint]}
    nlp = make(prompt="The text is this: {{ doc.text }}\nIt says", **config)
    alone = [written(nlp(text)) for text in TEXTS]
    for batch_size, texts in ((2, TEXTS), (100, TEXTS), (3, TEXTS[::-1])):
        found = {w[0]: w for w in map(written, nlp.pipe(texts, batch_size=batch_size))}
        assert [found[text] for text in TEXTS] == alone
    nlp.get_pipe(NAME).cfg["max_batch_items"] = 1
    assert list(map(written, nlp.pipe(TEXTS))) == alone


@pytest.mark.parametrize("constraint", ["choice", "spans", "regex"])
def test_same_under_every_constraint(make, constraint):
    nlp = make(**CONSTRAINTS[constraint])
    assert [written(d) for d in nlp.pipe(TEXTS)] == [written(nlp(text)) for text in TEXTS]


def test_what_is_drawn_depends_on_seed_and_prompt(make):
    def drawn(seed, texts=("The river", "The sea", "The river")):
        nlp = make(prompt="Say{% if false %}{{ doc.text }}{% endif %} {{ doc.text }}", seed=seed,
                   generation={"do_sample": True})  # fmt: skip
        return [doc._.generated for doc in nlp.pipe(texts)]

    assert drawn(1) == drawn(1) and drawn(1) != drawn(2)
    assert drawn(1)[0] == drawn(1)[2]
    assert drawn(1, ("The sea", "The river"))[::-1] == drawn(1)[:2]
    torch.manual_seed(0)
    assert len(set(drawn(None))) == 3
    assert drawn(None) != drawn(None)


def test_docs_do_not_draw_the_same_numbers(make):
    """With one stream for all, Docs whose prompts hardly matter would all say the same."""
    nlp = make()
    pipe = nlp.get_pipe(NAME)
    for parameter in pipe.language_model.parameters():
        parameter.data = torch.zeros_like(parameter)
    nlp2 = make(generation={"do_sample": True})
    nlp2.get_pipe(NAME).model = pipe.model
    texts = [doc._.generated for doc in nlp2.pipe(["a", "b", "c", "d"])]
    assert len(set(texts)) == 4


# Constraints


def test_choice(make):
    nlp = make(prompt="{{ doc.text }} is", constraint={"type": "choice", "labels": ["news", "sport"]})
    doc = nlp.make_doc("The river")
    doc.cats["other"] = 0.25
    doc = nlp(doc)
    assert doc.cats.pop("other") == 0.25
    assert set(doc.cats) == {"news", "sport"} and sorted(doc.cats.values()) == [0.0, 1.0]


def test_a_label_that_needs_more_pieces_than_there_are(make):
    nlp = make(constraint={"type": "choice", "labels": ["a", "qzxj" * 10]}, max_new_tokens=3)
    with pytest.raises(ConfigError, match="can never be chosen.*max_new_tokens"):
        nlp("The river")


def first_place(doc, span):
    """RETURNS (int): The first token at which a span with this text begins."""
    n = len(span)
    return next(
        i for i in range(len(doc)) if any(doc[i:j].text == span.text for j in range(i + 1, i + n + 1))
    )


@pytest.mark.parametrize("target", ["ents", "spans"])
@pytest.mark.parametrize("occurrences", ["all", "first"])
def test_spans(make, target, occurrences):
    constraint = {"type": "spans", "label": "X", "target": target, "occurrences": occurrences}
    constraint["spans_key"] = "k" if target == "spans" else None
    nlp = make(prompt="{{ doc.text }}\nName:", constraint=constraint)
    for text in TEXTS:
        doc = nlp(text)
        found = list(doc.ents if target == "ents" else doc.spans["k"])
        assert bool(found) == bool(text.strip())
        assert len({span.text for span in found}) <= 1
        assert all(span.label_ == "X" for span in found)
        if occurrences == "first":
            assert len(found) <= 1
            assert all(first_place(doc, span) == span.start for span in found)


def test_all_occurrences(make):
    constraint = {"type": "spans", "label": "X", "target": "spans", "spans_key": "k"}
    doc = make(prompt="Name:", constraint=constraint)("Ana Ana Ana")
    assert len(doc.spans["k"]) == 4 - len(doc.spans["k"][0])
    first = make(prompt="Name:", constraint={**constraint, "occurrences": "first"})("Ana Ana Ana")
    assert [(s.start, s.end) for s in first.spans["k"]] == [(0, len(doc.spans["k"][0]))]


def test_entities_that_stand_there_stay(make):
    nlp = make(prompt="Name:", constraint={"type": "spans", "label": "X"})
    doc = nlp.make_doc("Ana Ana Ana")
    doc.ents = [Span(doc, 1, 2, "PER")]
    doc = nlp(doc)
    assert (1, 2, "PER") in [(e.start, e.end, e.label_) for e in doc.ents]
    again = [(e.start, e.end, e.label_) for e in nlp(doc).ents]
    assert again == [(e.start, e.end, e.label_) for e in doc.ents]


def test_spans_of_equal_prompts_are_each_docs_own(make):
    """Prompts that do not hold the text are all the same, and every Doc has its own constraint."""
    constraint = {"type": "spans", "label": "X", "target": "spans", "spans_key": "k"}
    nlp = make(prompt="Name:", constraint=constraint)
    docs = list(nlp.pipe(TEXTS))
    for doc in docs:
        assert all(span.text in doc.text for span in doc.spans["k"])
        assert bool(doc.spans["k"]) == bool(doc.text.strip())


def test_spans_per_sentence_are_inside_it(make):
    constraint = {"type": "spans", "label": "X", "target": "spans", "spans_key": "k"}
    nlp = make(prompt="{{ sent.text }}:", per="sent", constraint=constraint)
    for doc in nlp.pipe(TEXTS):
        sents = [s for s in doc.sents if s.text.strip()]
        for sent in sents:
            assert any(sent.start <= s.start and s.end <= sent.end for s in doc.spans["k"])
        assert all(span.sent.end >= span.end for span in doc.spans["k"])


SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 3}, "old": {"type": "boolean"}},
    "required": ["name", "old"],
    "additionalProperties": False,
}


def test_json(make):
    nlp = make(constraint={"type": "json", "schema": SCHEMA}, attr="parsed", max_new_tokens=60)
    for doc in nlp.pipe(TEXTS):
        assert set(doc._.parsed) == {"name", "old"} and isinstance(doc._.parsed["old"], bool)
        json.dumps(doc._.parsed)


def test_regex(make):
    nlp = make(constraint={"type": "regex", "pattern": "[0-9]{4}-[a-c]"})
    assert all(re.fullmatch("[0-9]{4}-[a-c]", doc._.generated) for doc in nlp.pipe(TEXTS))


def test_what_is_cut_off_is_not_written_and_counted(make):
    nlp = make(constraint={"type": "json", "schema": SCHEMA}, attr="cut", max_new_tokens=3)
    with pytest.warns(BloomWarning, match=f"{len(TEXTS)} of {len(TEXTS)} generated texts"):
        docs = list(nlp.pipe(TEXTS))
    assert [doc._.cut for doc in docs] == [None] * len(TEXTS)


def test_a_span_that_has_no_time_to_be_written_is_counted(make):
    nlp = make(
        prompt="Name:", constraint={"type": "spans", "label": "X", "leading_space": False}, max_new_tokens=1
    )
    with pytest.warns(BloomWarning, match="1 of 2 generated texts"):
        docs = list(nlp.pipe(["q", "qzxjqzxj"]))
    assert not docs[1].ents


# Limits and failures


def test_a_bad_doc_reaches_the_error_handler_alone(make, monkeypatch):
    nlp = make(prompt="{{ doc.text }} {{ 1 / (0 if doc.text == 'Omar' else 1) }}")
    failed = failing(nlp)
    calls, generate = [], text_generator.generate_batched

    def counted(model, tokenizer, prompts, config, **options):
        calls.append(len(prompts))
        return generate(model, tokenizer, prompts, config, **options)

    monkeypatch.setattr(text_generator, "generate_batched", counted)
    docs = list(nlp.pipe(TEXTS))
    assert [doc.text for doc in docs] == [text for text in TEXTS if text != "Omar"]
    assert all(doc._.generated is not None for doc in docs)
    assert [text for text, _ in failed] == ["Omar"] and "ZeroDivisionError" in failed[0][1]
    assert calls == [len(docs)], "the others are generated together"


def test_each_prompt_is_made_once(make, monkeypatch):
    encode, made = PromptTemplate.encode, []
    monkeypatch.setattr(
        PromptTemplate,
        "encode",
        lambda self, *args, **options: made.append(1) or encode(self, *args, **options),
    )
    list(make(max_new_tokens=2).pipe(TEXTS, batch_size=3))
    assert len(made) == len(TEXTS)


@pytest.mark.timeout(100)
@pytest.mark.parametrize("constraint", ["free", "ents", "choice"])
def test_a_megabyte_of_text(make, constraint):
    nlp = make(**CONSTRAINTS[constraint])
    failed = failing(nlp)
    huge = nlp.make_doc("x")
    for text in ("a" * 1_000_000, "word " * 40_000):
        huge = Doc(nlp.vocab, words=text.split())
        assert [d.text for d in nlp.pipe([nlp.make_doc("The river"), huge])] == ["The river"]
    assert len(failed) == 2
    assert all("max_prompt_pieces" in message for _, message in failed)


def test_spans_of_a_text_that_is_not_in_the_prompt(make):
    nlp = make(prompt="Name:", constraint={"type": "spans", "label": "X"}, max_prompt_pieces=20)
    failed = failing(nlp)
    assert [d.text for d in nlp.pipe(["Ana", "word " * 100])] == ["Ana"]
    assert "to take a span from" in failed[0][1]


def test_time_is_a_limit(make):
    nlp = make(max_seconds=0.0, max_new_tokens=1000)
    with pytest.warns(BloomWarning, match="1 of 1.*max_seconds"):
        assert len(nlp("The river")._.generated) < 100


def test_nothing_is_warned_of_without_need(make):
    with warnings.catch_warnings():
        warnings.simplefilter("error", BloomWarning)
        list(make().pipe(TEXTS))
        list(make(**CONSTRAINTS["ents"]).pipe(TEXTS))


@pytest.mark.parametrize("constraint", ["free", "choice", "ents"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), max_size=4))
def test_any_text(made, constraint, texts):
    nlp = made(constraint)
    docs = list(nlp.pipe(texts))
    assert [doc.text for doc in docs] == texts
    for doc in docs:
        for span in doc.ents:
            assert span.text == doc.text[span.start_char : span.end_char] != ""
            assert not span[0].is_space and not span[-1].is_space
        if constraint == "choice":
            assert sum(doc.cats.values()) == 1.0
        if constraint == "ents":
            assert bool(doc.ents) == any(not token.is_space for token in doc)


@pytest.fixture(scope="module")
def made(checkpoint):
    pipelines = {}

    def get(constraint):
        if constraint not in pipelines:
            nlp = pipelines[constraint] = spacy.blank("xx")
            nlp.add_pipe(
                NAME,  # 30 characters are 120 bytes at most, each a piece if need be
                config={"model": {"name": checkpoint}, "max_new_tokens": 125, **CONSTRAINTS[constraint]},
            )
        return pipelines[constraint]

    return get


# Settings


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"prompt": "{{ doc.text"}, "Jinja2"),
        ({"prompt": "{{ sent.text }}"}, "sent"),
        ({"per": "word"}, "per to be one of"),
        ({"per": "doc", "spans_key": "sc"}, "spans_key"),
        ({"attr": "not a name"}, "attr"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"max_seconds": -1.0}, "max_time"),
        ({"seed": -1}, "seed"),
        ({"max_batch_items": 0}, "max_batch_items"),
        ({"max_prompt_pieces": 0}, "max_prompt_pieces"),
        ({"generation": {"temprature": 0.5}}, "temperature"),
        ({"generation": {"temperature": 0}}, "temperature"),
        ({"generation": {"max_new_tokens": 5}}, "Set max_new_tokens of the component"),
        ({"generation": {"max_length": 5}}, "max_new_tokens"),
        ({"generation": {"max_time": 5}}, "max_seconds"),
        ({"generation": {"seed": 5}}, "Set seed"),
        ({"generation": {"extra": {}}}, "extra"),
        ({"generation": {"num_return_sequences": 2}}, "do_sample"),
        ({"constraint": {}}, "type"),
        ({"constraint": {"type": "poem"}}, "poem"),
        ({"constraint": {"type": "choice"}}, "labels"),
        ({"constraint": {"type": "choice", "labels": ["a", "a"]}}, "labels"),
        ({"constraint": {"type": "choice", "labels": ["a", ""]}}, "labels"),
        ({"constraint": {"type": "choice", "labels": ["a"], "label": "b"}}, "label"),
        ({"constraint": {"type": "choice", "labels": ["a"]}, "per": "sent"}, 'per = "doc"'),
        ({"constraint": {"type": "spans"}}, "label"),
        ({"constraint": {"type": "spans", "label": "X", "target": "tokens"}}, "target"),
        ({"constraint": {"type": "spans", "label": "X", "target": "spans"}}, "spans_key"),
        ({"constraint": {"type": "spans", "label": "X", "spans_key": "k"}}, "spans_key"),
        ({"constraint": {"type": "spans", "label": "X", "occurrences": "last"}}, "occurrences"),
        ({"constraint": {"type": "json"}}, "schema"),
        ({"constraint": {"type": "json", "schema": {"type": "nothing"}}}, "constraint"),
        ({"constraint": {"type": "regex", "pattern": "(("}}, "constraint"),
        ({"constraint": {"type": "regex", "pattern": "a", "leading_space": "no"}}, "leading_space"),
        (
            {
                "constraint": {"type": "spans", "label": "X"},
                "generation": {"num_beams": 2, "num_return_sequences": 2},
            },
            "num_return_sequences = 1",
        ),
    ],
)
def test_wrong_settings_are_errors_when_it_is_made(make, config, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        make(**config)


def test_nothing_is_loaded_when_it_is_made():
    nlp = spacy.blank("xx")
    nlp.add_pipe(
        NAME, config={"model": {"name": "nobody/has-this"}, "constraint": {"type": "regex", "pattern": "a"}}
    )
    assert not nlp.get_pipe(NAME).model.shims[0].loaded


@pytest.mark.parametrize("way", ["disk", "bytes", "pickle", "copy"])
@pytest.mark.parametrize("constraint", ["free", "regex", "ents"])
def test_saving(make, tmp_path, way, constraint):
    nlp = make(prompt="It is {{ doc.text }}", **CONSTRAINTS[constraint])
    unchanged = [written(doc) for doc in nlp.pipe(TEXTS)]
    change(nlp.get_pipe(NAME).language_model)
    expected = [written(doc) for doc in nlp.pipe(TEXTS)]
    assert expected != unchanged
    if way == "disk":
        nlp.to_disk(tmp_path)
        loaded = spacy.load(tmp_path)
    elif way == "bytes":
        loaded = load_model_from_config(nlp.config).from_bytes(nlp.to_bytes())
    else:
        pipe = nlp.get_pipe(NAME)
        pipe = copy.deepcopy(pipe) if way == "copy" else pickle.loads(pickle.dumps(pipe))
        docs = [nlp.make_doc(text) for text in TEXTS]
        assert [written(doc) for doc in pipe.pipe(docs)] == expected
        return
    assert [written(doc) for doc in loaded.pipe(TEXTS)] == expected


def test_the_config_of_a_saved_pipeline_can_be_overridden(make, tmp_path):
    make(max_new_tokens=12).to_disk(tmp_path)
    loaded = spacy.load(tmp_path, config={f"components.{NAME}.max_new_tokens": 2})
    assert loaded.get_pipe(NAME).options.max_new_tokens == 2


def test_the_config_as_a_file(make, checkpoint):
    text = f"""
[nlp]
lang = "xx"
pipeline = ["{NAME}"]
[components]
[components.{NAME}]
factory = "{NAME}"
prompt = "{{{{ doc.text }}}}"
attr = "from_file"
[components.{NAME}.model]
@architectures = "spacy-bloom.LanguageModel.v1"
name = {json.dumps(checkpoint)}
[components.{NAME}.generation]
do_sample = true
stop_strings = ["."]
[components.{NAME}.constraint]
type = "json"
[components.{NAME}.constraint.schema]
type = "array"
maxItems = 2
items = {{"enum": ["a", "b"]}}
"""
    nlp = load_model_from_config(spacy.util.Config().from_str(text), auto_fill=True)
    assert all(set(doc._.from_file) <= {"a", "b"} for doc in nlp.pipe(TEXTS))
