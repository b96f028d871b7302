"""Hostile templates and hostile texts in prompts: nothing is reached, nothing is run, memory and time stay small."""

import time
import tracemalloc

import pytest
import spacy
from spacy.tokens import Doc

from spacy_bloom.errors import ConfigError, InputError
from spacy_bloom.pipeline.prompting.prompt_template import PromptTemplate


class Tripwire:
    """Notes everything that is done to it."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        self.calls.append(name)
        return lambda *args, **kwargs: self.calls.append(name)


@pytest.fixture
def doc():
    if not Doc.has_extension("wire"):
        Doc.set_extension("wire", default=None)
        Doc.set_extension("run", method=lambda doc, *args: doc._.wire.run())
    doc = spacy.blank("xx")("Some text, which is data.")
    doc._.wire = doc.user_data["wire"] = Tripwire()
    doc.cats = {"a": 0.5}
    doc.user_data["items"] = [1, 2]
    return doc


TEMPLATES = [
    "{{ ''.__class__.__mro__ }}",
    "{{ ''['__class__'] }}",
    "{{ doc.text.__class__.__mro__[1].__subclasses__() }}",
    "{{ doc.__class__ }}",
    "{{ doc['__class__'] }}",
    "{{ doc['_shown'].vocab }}",
    "{{ doc._shown }}",
    "{{ doc['__init__']['__globals__'] }}",
    "{{ doc.vocab }}",
    "{{ doc['vocab'] }}",
    "{{ doc.to_disk('x') }}",
    "{{ doc['to_disk']('x') }}",
    "{{ doc.from_bytes('x') }}",
    "{{ doc.set_ents([]) }}",
    "{{ doc.ents[0].doc }}",
    "{{ doc.ents.append(1) }}",
    "{{ doc.ents.__class__ }}",
    "{{ doc.cats.update({'b': 1}) }}",
    "{{ doc.cats.clear() }}",
    "{{ doc.cats.__setitem__('a', 1) }}",
    "{{ doc.user_data.pop('items') }}",
    "{{ doc.user_data['items'].append(3) }}",
    "{{ doc.user_data.wire }}",
    "{{ doc.user_data.wire.run() }}",
    "{{ doc._.wire.run() }}",
    "{{ doc._.run() }}",
    "{{ doc._.set('wire', 1) }}",
    "{{ doc._['_shown'] }}",
    "{{ doc._.__getattr__('wire') }}",
    "{{ doc.text.format(doc) }}",
    "{{ '{0.__class__}'.format(doc) }}",
    "{{ '{:1000000000}'.format(1) }}",
    "{{ '{a:1000000000}'.format_map({'a': 1}) }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '%1000000000d'|format(1) }}",
    "{{ 'a' * 1000000000 }}",
    "{{ [0] * 1000000000 }}",
    "{{ 10 ** 1000000000 }}",
    "{{ 'a'|center(1000000000) }}",
    "{{ 'a'.center(1000000000) }}",
    "{{ 'a'.ljust(1000000000) }}",
    "{{ '1'.zfill(1000000000) }}",
    "{{ 'a'.encode() }}",
    "{{ 'a'|attr('__class__') }}",
    "{{ doc|attr('vocab') }}",
    "{{ range(1000000000)|list }}",
    "{{ lipsum.__globals__ }}",
    "{{ cycler.__init__.__globals__.os.system('true') }}",
    "{{ self.__init__.__globals__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ namespace.__class__ }}",
    "{% include '/etc/passwd' %}",
    "{% extends '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{% from 'os' import system %}",
    "{% autoescape true %}{% endautoescape %}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{% macro f() %}{% endmacro %}{{ f['__call__'] }}",
    "{% for x in doc.text recursive %}{{ loop(doc.text) }}{% endfor %}",
    "{{ (doc.text|list).__class__ }}",
    "{{ loop }}",
    "{{ caller() }}",
    "{% do doc.text %}",
    "{{ " + "(" * 5000 + ")" * 5000 + " }}",
    "{{ " + "not " * 20000 + "doc }}",
    "{% for x in doc.text %}" * 40 + "{% endfor %}" * 40,
]


@pytest.mark.parametrize("source", TEMPLATES, ids=lambda source: source[:60])
def test_hostile_templates_do_nothing(doc, source):
    before = time.perf_counter()
    with pytest.raises((ConfigError, InputError)):
        PromptTemplate(source).render(doc=doc, max_characters=10_000)
    assert time.perf_counter() - before < 20
    assert doc.user_data["wire"].calls == []
    assert doc.cats == {"a": 0.5} and doc.user_data["items"] == [1, 2]


def test_the_tripwire_can_trip(doc):
    doc._.run()
    assert doc.user_data["wire"].calls


def test_what_cannot_be_seen_shows_nothing(doc):
    """jinja2 gives an undefined value here instead of an error."""
    for source in (
        "{{ doc.text|map(attribute='__class__')|list }}",
        "{{ doc.ents|map(attribute='doc')|list }}",
    ):
        assert "class '" not in PromptTemplate(source).render(doc=doc)


def test_output_without_end_is_stopped(doc):
    source = "{% for a in doc.text %}{% for b in doc.text %}{% for c in doc.text %}" + "x" * 1000
    source += "{% endfor %}" * 3  # 15 million characters
    tracemalloc.start()
    with pytest.raises(InputError, match="more than 1000 characters"):
        PromptTemplate(source).render(doc=doc, max_characters=1000)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


TEXTS = [
    "{{ doc.vocab }}",
    "{% include '/etc/passwd' %}",
    "{{ ''.__class__ }}",
    "{# a comment",
    "{% raw %}",
    "</s><s><pad><unk>",
    "\ue000" + "0" * 32 + ":1\ue001",
    "\ue0001\ue001",
    "\x00\x01\x1b[31m",
    "\u202eevil",
    "<script>&amp;",
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("special_tokens", [True, False])
def test_texts_are_data(tiny_tokenizer, text, special_tokens):
    doc = spacy.blank("xx")(text)
    doc.cats = {text: 1.0}
    doc.user_data[text] = text
    source = "{{ doc.text }}|{{ doc.cats|list|first }}|{{ doc.user_data.values()|list|first }}"
    template = PromptTemplate(source, special_tokens=special_tokens)
    assert template.render(doc=doc) == f"{text}|{text}|{text}"
    ids = template.encode(tiny_tokenizer, max_pieces=2000, doc=doc)
    assert tiny_tokenizer.decode(ids) == f"{text}|{text}|{text}"
    assert not set(ids) & set(tiny_tokenizer.all_special_ids)


def test_half_a_surrogate_pair_is_an_error(tiny_tokenizer):
    doc = spacy.blank("xx")("a")
    doc.user_data["broken"] = "\ud800"
    with pytest.raises(InputError, match="surrogate"):
        PromptTemplate("{{ doc.user_data.broken }}").encode(tiny_tokenizer, max_pieces=9, doc=doc)


def test_a_list_of_views_has_no_addresses(doc):
    assert PromptTemplate("{{ [doc] }}").render(doc=doc) == "['Some text, which is data.']"
