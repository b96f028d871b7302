"""Templates escape what they are given, and miss nothing silently."""

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from spacy_bloom.pipeline.pages.rendering import TEMPLATES, direction, make_environment


@pytest.fixture
def environment(tmp_path):
    (tmp_path / "own.html").write_text(
        '{% extends "page.html" %}\n{% block body %}\n{{ body }}\n{% endblock %}\n'
    )
    return make_environment(tmp_path)


def test_folders_extend_the_package(environment):
    page = environment.get_template("own.html").render(title="<b>", body="</body>")
    assert page.startswith("<!DOCTYPE html>") and page.count("</body>") == 1
    assert "<title>&lt;b&gt;</title>" in page and "\n&lt;/body&gt;\n</body>" in page


def test_html_is_kept(environment):
    assert "<p>a</p>" in environment.get_template("own.html").render(title="", body=Markup("<p>a</p>"))


def test_a_missing_value_is_an_error(environment):
    with pytest.raises(UndefinedError, match="'body' is undefined"):
        environment.get_template("own.html").render(title="")


def test_templates_are_in_the_package():
    assert {path.name for path in TEMPLATES.iterdir()} == {
        "page.html",
        "bars_style.html",
        "cards.html",
        "copy.html",
        "heat_map.html",
        "heat_map_page.html",
        "marked.html",
        "marks.html",
        "marks_page.html",
        "marks_style.html",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Anna", "ltr"), ("1950 باريس", "rtl"), ("עברית", "rtl"), ("12!", "ltr"), ("", "ltr")],
)
def test_direction(text, expected):
    assert direction(text) == expected
