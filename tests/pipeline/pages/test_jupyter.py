"""Notebooks show HTML; elsewhere it is text."""

import sys
from types import SimpleNamespace

import pytest

import spacy_bloom.pipeline.pages.jupyter as module
from spacy_bloom.pipeline.pages.jupyter import Html, shown


@pytest.fixture
def notebook(monkeypatch):
    """A function that says whether this is a notebook. RETURNS: what it has displayed."""
    displayed = []
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=displayed.append))

    def be(value):
        monkeypatch.setattr(module, "is_in_jupyter", lambda: value)
        return displayed

    return be


@pytest.mark.parametrize(
    ("is_notebook", "jupyter", "page", "displays"),
    [
        (True, "auto", False, True),
        (True, "auto", True, False),
        (True, False, False, False),
        (False, "auto", False, False),
        (False, True, False, True),
    ],
)
def test_where_it_is_shown(notebook, is_notebook, jupyter, page, displays):
    displayed = notebook(is_notebook)
    returned = shown("<p>$1</p>", jupyter, page=page)
    assert (returned is None) == displays
    assert displayed == (["<p>$1</p>"] if displays else [])


def test_html_is_text_that_shows_itself():
    made = Html("<p>$1 and $2</p>")
    assert made == "<p>$1 and $2</p>" and "tex2jax_ignore" in made._repr_html_()
