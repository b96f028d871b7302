"""The demo prints entities and writes a page that reads in the right direction."""

import re
import subprocess
import sys
import unicodedata

import pytest
import spacy
from spacy.tokens import Span

from spacy_bloom.cli.demo import SENTENCES, direction, render_page


def run_demo(*arguments: str, cwd) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "spacy", "bloom", "demo", *arguments]
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True, encoding="utf8")


def test_demo_finds_entities_in_ten_languages(tmp_path):
    output = run_demo(cwd=tmp_path).stdout
    assert all(sentence in output for sentence in SENTENCES.values())
    assert len(SENTENCES) >= 10
    found = [line for line in output.splitlines() if re.search(r"\((PER|LOC|ORG)\)", line)]
    assert len(found) >= 10
    page = (tmp_path / "demo.html").read_text(encoding="utf8")
    assert str(tmp_path / "demo.html") in output.replace("\n", "")
    assert page.count("<mark") >= 10


def test_demo_takes_own_text_and_output(tmp_path):
    output = run_demo("Clara Mendes nasceu em Coimbra.", "-o", "mine.html", cwd=tmp_path).stdout
    assert "Clara Mendes (PER)" in output
    assert "Clara Mendes" in (tmp_path / "mine.html").read_text(encoding="utf8")


def test_sentences_are_in_many_scripts():
    scripts = {unicodedata.name(c).split()[0] for text in SENTENCES.values() for c in text if c.isalpha()}
    assert {"LATIN", "ARABIC", "CJK", "DEVANAGARI", "TELUGU"} <= scripts


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Anna", "ltr"), ("1950 باريس", "rtl"), ("עברית", "rtl"), ("12!", "ltr"), ("", "ltr")],
)
def test_direction(text, expected):
    assert direction(text) == expected


def test_page_escapes_text_and_keeps_each_direction():
    nlp = spacy.blank("xx")
    docs = [nlp.make_doc("<script>alert(1)</script> Anna"), nlp.make_doc("باريس جميلة")]
    docs[1].set_ents([Span(docs[1], 0, 1, "LOC")])
    page = render_page(["One", "Two"], docs)
    assert "<script>" not in page
    assert re.findall(r"direction: (\w+)", page) == ["ltr", "rtl"]
