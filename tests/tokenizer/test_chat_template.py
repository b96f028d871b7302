import pytest

from spacy_bloom.errors import InputError
from spacy_bloom.tokenizer.chat_template import render
from spacy_bloom.tokenizer.chat_text import Rendered

MESSAGES = [{"role": "user", "content": "a</s>b"}, {"role": "assistant", "content": "c"}]


def test_places_of_what_was_generated():
    template = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}|{% endfor %}"
    found = render(template, {"messages": MESSAGES})
    assert found.text == "a</s>b|c|" and found.generated == [(0, 6), (7, 8)] and found.control == []


def test_places_of_the_templates_control_tokens():
    template = (
        "{{ bos_token }}{% set end = '</s>' %}{% for m in messages %}{{ m.role + ': ' + m.content + end }}"
        "{% if m.content == 'a</s>b' %}!</s>{% endif %}{% endfor %}"
    )
    values = {"messages": MESSAGES, "bos_token": "<s>"}
    found = render(template, values, ["<s>", "</s>"])
    assert found.text == render(template, values).text == "<s>user: a</s>b</s>!</s>assistant: c</s>"
    spans = [found.text[start:end] for start, end in found.control]
    assert spans == ["<s>", "</s>", "</s>", "</s>"] and found.control[1][0] == found.text.index("b</s>") + 1
    assert found.cut(4) == Rendered("<s>u", [], [(0, 3)])


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages | tojson(indent=2) }}",
        "{{ 'a\nb' | indent(3) }}{{ 'a\nb' | indent(2, True) }}",
        "{% set ns = namespace(n=0) %}{% for i in range(3) %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}",
        "{% for m in messages %}{% if loop.index == 2 %}{% break %}{% endif %}{{ m['content'].strip() }}{% endfor %}",
        "{%- macro f(x) -%}[{{ x }}]{%- endmacro -%}\n{{ f(messages[0].role) }}{{ missing }}{{ missing is defined }}",
        "{{ strftime_now('%Y') }}{{ messages[-1].items() | list }}{{ messages[0].get('x', 1) }}",
    ],
)
def test_what_templates_use_is_hugging_faces(template):
    from transformers.utils.chat_template_utils import render_jinja_template

    expected, _ = render_jinja_template([MESSAGES], chat_template=template)
    assert render(template, {"messages": MESSAGES}).text == expected[0]


@pytest.mark.parametrize(
    "template, message",
    [
        ("{% for %}", "Jinja2 chat template"),
        ("{% include 'x' %}", "fails"),
        ("{{ messages.__class__.mro() }}", "not allowed"),
        ("{{ 'a' * 9 ** 9 }}", "not allowed"),
        ("{{ messages.append(1) }}", "not allowed"),
        ("{{ raise_exception('no system message') }}", "no system message"),
        ("{{ lipsum() }}", "fails"),
        ("{{ messages[0].x.y }}", "fails"),
    ],
)
def test_what_templates_may_not(template, message):
    with pytest.raises(InputError, match=message):
        render(template, {"messages": list(MESSAGES)})
