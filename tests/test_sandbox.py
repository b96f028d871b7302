import pytest
from jinja2.exceptions import SecurityError, TemplateAssertionError, UndefinedError

from spacy_bloom.sandbox import Sandbox


@pytest.mark.parametrize(
    "template, expected",
    [
        ("{{ x.strip().upper() }}", "A B"),
        ("{{ 2 * 3 }} {{ 7 % 4 }}", "6 3"),
        ("{{ x | trim | length }}", "3"),
        ("{% for part in x.split() %}{{ loop.index }}{{ part }}{% endfor %}", "1a2b"),
    ],
)
def test_what_templates_may_do(template, expected):
    assert Sandbox().from_string(template).render(x=" a b ") == expected


@pytest.mark.parametrize(
    "template, error",
    [
        ("{{ 'a' * 9 }}", SecurityError),
        ("{{ '%9s' % 'a' }}", SecurityError),
        ("{{ 9 ** 9 }}", SecurityError),
        ("{{ '{:9}'.format(1) }}", SecurityError),
        ("{{ x.center(9) }}", SecurityError),
        ("{{ x.__class__.mro() }}", SecurityError),
        ("{{ range(9) }}", UndefinedError),
        ("{{ x | center(9) }}", TemplateAssertionError),
        ("{{ items.append(1) }}", SecurityError),
    ],
)
def test_what_they_may_not(template, error):
    with pytest.raises(error):
        Sandbox().from_string(template).render(x="a", items=[])


def test_more_is_allowed_by_name():
    sandbox = Sandbox(["center"], ["range"])
    assert sandbox.from_string("{{ 'a' | center(3) }}").render() == " a "
    assert sandbox.from_string("{% for i in range(2) %}{{ i }}{% endfor %}").render() == "01"
