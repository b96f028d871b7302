import pytest
from jinja2.exceptions import SecurityError, TemplateAssertionError, UndefinedError

from spacy_bloom.sandbox import MAX_STATEMENTS, MAX_UNITS, Sandbox, limited, spend


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


def repeated(start, value, times=60):
    """A template that sets a variable again and again."""
    loop = f"{{% for i in range({times}) %}}{{% set ns.v = {value} %}}{{% endfor %}}"
    return f"{{% set ns = namespace(v={start}) %}}{loop}"


ENDLESS = {
    "texts that double": repeated("'ab'", "ns.v ~ ns.v"),
    "texts that are added": repeated("'ab'", "ns.v + ns.v"),
    "lists of lists": repeated("[1]", "[ns.v, ns.v]") + "{{ ns.v }}",
    "replaced texts": repeated("'aaaa'", "ns.v | replace('a', ns.v)", 9),
    "replaced by the method": repeated("'aaaa'", "ns.v.replace('a', ns.v)", 9),
    "joined texts": repeated("'aaaa'", "ns.v | join(ns.v)", 9),
    "joined by the method": repeated("'aaaa'", "ns.v.join(ns.v)", 9),
    "sums of lists": "{{ range(9999) | map('list') | sum(start=[]) }}",
    "products of integers": repeated("9", "ns.v * ns.v"),
    "blocks that are set": "{% set a %}{{ 'x' }}{% endset %}"
    + "{% set a %}"
    + "{{ a }}" * 30
    + "{% endset %}"
    + ("{% set a %}" + "{{ a }}" * 30 + "{% endset %}") * 8,
    "loops in loops": "{% for i in range(9999) %}{% for j in range(9999) %}{% set k = 1 %}{% endfor %}{% endfor %}",
    "loops with a condition": "{% for i in range(9999) %}{% for j in range(9999) if false %}{% endfor %}{% endfor %}",
    "macros": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "text in a loop": "{% for i in range(99999) %}" + "x" * 1000 + "{% endfor %}",
    "lists that are kept": repeated("[]", "ns.v + [range(99999) | list]", 9999),
    "parts of texts": repeated("[]", "ns.v + [x[:]]", 99999),
}


@pytest.mark.parametrize("kind", sorted(ENDLESS))
def test_templates_that_grow_or_go_on(kind):
    template = Sandbox(names=["range", "namespace"]).from_string(ENDLESS[kind])
    with (
        limited(1000),
        pytest.raises(SecurityError, match=r"it (makes|computes)|sum that starts|integers of"),
    ):
        "".join(template.generate(x="ab" * 500))


def test_what_grows_with_what_is_given():
    sandbox = Sandbox(names=["range", "namespace"])
    source = "{% set ns = namespace(v='') %}{% for m in x %}{% set ns.v = ns.v ~ m %}{% endfor %}{{ ns.v }}"
    messages = ["abcdefgh" * 100] * 200  # 16 million characters on the way
    with limited(sum(map(len, messages))):
        assert sandbox.from_string(source).render(x=messages) == "abcdefgh" * 20_000


def test_limits_end():
    with pytest.raises(SecurityError, match="makes too much"), limited(0):
        spend(MAX_UNITS + 1)
    assert spend(MAX_UNITS + 1)


def test_a_template_of_many_statements():
    with pytest.raises(SecurityError, match=f"more than {MAX_STATEMENTS}"):
        Sandbox().from_string("{% if x %}{% endif %}" * (MAX_STATEMENTS + 1))
