"""Prompts: what templates see, what they are refused, and that text is data."""

import copy
import pickle

import numpy
import pytest
import spacy
from spacy.tokens import Doc, Span

from spacy_bloom.errors import ConfigError, InputError
from spacy_bloom.pipeline.prompting.prompt_template import PromptTemplate


@pytest.fixture(scope="module")
def nlp():
    nlp = spacy.blank("xx")
    nlp.add_pipe("sentencizer")
    return nlp


@pytest.fixture(scope="module")
def doc(nlp):
    for kind, name in ((Doc, "prompt_note"), (Span, "prompt_kind"), (Doc, "prompt_object")):
        if not kind.has_extension(name):
            kind.set_extension(name, default=None)
    doc = nlp("Ana lives in Lima. Omar does not.")
    doc.ents = [Span(doc, 0, 1, "PER"), Span(doc, 3, 4, "LOC")]
    doc.spans["sc"] = [Span(doc, 5, 6, "PER")]
    doc.cats = {"news": 0.5}
    doc.user_data["title"] = "A <title> & more"
    doc.user_data["rows"] = [{"a": 1}, {"a": numpy.float32(0.5)}]
    doc._.prompt_note = "noted"
    doc._.prompt_object = nlp
    doc.ents[1]._.prompt_kind = "city"
    return doc


@pytest.mark.parametrize(
    ("source", "prompt"),
    [
        ("{{ doc.text }}", "Ana lives in Lima. Omar does not."),
        ("{{ doc }}|{{ doc.text[:3]|upper }}", "Ana lives in Lima. Omar does not.|ANA"),
        ("Line\n", "Line\n"),
        ("{% for e in doc.ents %}{{ e.text }} {{ e.label_ }} {{ e.start_char }}-{{ e.end_char }};{% endfor %}",
         "Ana PER 0-3;Lima LOC 13-17;"),
        ("{{ doc.sents|length }} {{ doc.sents[1] }}", "2 Omar does not."),
        ("{{ doc.spans.sc[0].text }} {{ doc.spans['sc'][0].sent }}", "Omar Omar does not."),
        ("{% for k, v in doc.cats.items() %}{{ k }}={{ v }}{% endfor %}", "news=0.5"),
        ("{{ doc.user_data.title }}", "A <title> & more"),
        ("{{ doc.user_data.title|tojson }}", '"A <title> & more"'),
        ("{{ doc.user_data.rows[1].a }}", "0.5"),
        ("{{ doc._.prompt_note }} {{ doc.ents[1]._.prompt_kind }}", "noted city"),
        ("{% for e in doc.ents %}{{ loop.index }}{{ ', ' if not loop.last }}{% endfor %}", "1, 2"),
        ("{{ doc.ents|map(attribute='text')|join(', ') }}", "Ana, Lima"),
        ("{{ doc.cats.news * 2 + 7 % 4 }}", "4.0"),
        ("{% raw %}{{ doc.text }}{% endraw %}", "{{ doc.text }}"),
    ],
)  # fmt: skip
def test_what_templates_see(doc, source, prompt):
    assert PromptTemplate(source).render(doc=doc) == prompt


def test_variables(doc):
    template = PromptTemplate("{{ sent.text }} of {{ doc.sents|length }}", ("doc", "sent"))
    assert [template.render(doc=doc, sent=s) for s in doc.sents] == [
        "Ana lives in Lima. of 2",
        "Omar does not. of 2",
    ]
    assert (
        PromptTemplate("{{ labels|join('/') }}", ("doc", "labels")).render(doc=doc, labels=["a", "b"])
        == "a/b"
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ doc.text", "line 1"),
        ("a\n{% if %}", "line 2"),
        ("{% for x in doc.ents %}", "Unexpected end"),
        ("{{ dok.text }}", "'dok'"),
        ("{{ sent.text }}", 'per = "sent"'),
        ("{{ doc.txt }}", "doc.txt"),
        ("{{ doc.text|nothing }}", "nothing"),
        (None, "None"),
        (["{{ doc.text }}"], "template"),
    ],
)
def test_errors_when_it_is_made(source, message):
    with pytest.raises(ConfigError, match=message):
        PromptTemplate(source)


def test_errors_when_it_is_filled(nlp, doc):
    with pytest.raises(InputError, match="no_such"):
        PromptTemplate("{{ doc._.no_such }}").render(doc=doc)
    with pytest.raises(InputError, match="E030"):
        PromptTemplate("{{ doc.sents|length }}").render(doc=nlp.make_doc("No borders here"))
    with pytest.raises(InputError, match="ZeroDivisionError"):
        PromptTemplate("{{ 1 / doc.spans|length }}").render(doc=nlp.make_doc("a"))
    with pytest.raises(InputError, match="XX|xx|MultiLanguage"):
        PromptTemplate("{{ doc._.prompt_object }}").render(doc=doc)


def test_a_template_survives_copies(doc, tiny_tokenizer):
    template = PromptTemplate("a </s> {{ doc.text }}", special_tokens=True)
    ids = template.encode(tiny_tokenizer, max_pieces=99, doc=doc)
    for again in (copy.deepcopy(template), pickle.loads(pickle.dumps(template))):
        assert again.encode(tiny_tokenizer, max_pieces=99, doc=doc) == ids


# Pieces


CONTROL = ("<s>", "</s>", "<pad>", "<unk>")


@pytest.mark.parametrize("control", CONTROL)
def test_control_tokens_are_ordinary_text(nlp, tiny_tokenizer, control):
    doc = nlp(f"a {control}b {control}")
    for source in (f"x{control} {{{{ doc.text }}}} {control}", f"{{{{ '{control}' ~ doc.text }}}}"):
        template = PromptTemplate(source)
        ids = template.encode(tiny_tokenizer, max_pieces=999, doc=doc)
        assert not set(ids) & set(tiny_tokenizer.all_special_ids)
        assert tiny_tokenizer.decode(ids) == template.render(doc=doc)


@pytest.mark.parametrize("control", CONTROL)
def test_the_templates_own_control_tokens(nlp, tiny_tokenizer, control):
    doc = nlp(f"a {control}b {control}")
    template = PromptTemplate(
        f"{control}x {{{{ doc.text }}}} {{{{ '{control}' }}}} y{control}{control}", special_tokens=True
    )
    ids = template.encode(tiny_tokenizer, max_pieces=999, doc=doc)
    piece = tiny_tokenizer.convert_tokens_to_ids([control])[0]
    assert [i for i in ids if i in tiny_tokenizer.all_special_ids] == [piece] * 3
    assert ids[0] == piece and ids[-2:] == [piece, piece]
    assert tiny_tokenizer.decode(ids) == template.render(doc=doc)
    plain = PromptTemplate("{% if true %}a</s>b{% endif %}", special_tokens=True)
    expected = tiny_tokenizer.encode("a</s>b", split_special_tokens=False)
    assert plain.encode(tiny_tokenizer, max_pieces=9, doc=doc) == expected


def test_the_limit_counts_pieces(nlp, tiny_tokenizer):
    doc = nlp("The river was high in spring")
    template = PromptTemplate("{{ doc.text }}")
    n = len(template.encode(tiny_tokenizer, max_pieces=999, doc=doc))
    assert len(template.encode(tiny_tokenizer, max_pieces=n, doc=doc)) == n
    with pytest.raises(InputError, match=f"{n} pieces.*at most {n - 1}.*raise max_prompt_pieces"):
        template.encode(tiny_tokenizer, max_pieces=n - 1, doc=doc)


def test_no_text_no_pieces(nlp, tiny_tokenizer):
    assert PromptTemplate("{{ doc.text }}").encode(tiny_tokenizer, max_pieces=9, doc=nlp("")) == []
