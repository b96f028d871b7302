import pytest
from jinja2 import UndefinedError

from spacy_bloom.cli.pages.cards import ENVIRONMENT


def test_templates_escape_what_they_are_given():
    page = ENVIRONMENT.get_template("cards.html").render(title="<script>")
    assert "<title>&lt;script&gt;</title>" in page and ".card {" in page


def test_a_value_that_a_template_lacks_is_an_error():
    with pytest.raises(UndefinedError):
        ENVIRONMENT.get_template("cards.html").render()
