"""The demo prints what the components find, and writes a page that reads in the right direction."""

import re
import unicodedata

import pytest

from spacy_bloom.cli.demo import BEGINNINGS, PASSAGES, SENTENCES, SURPRISING, TOPICAL
from spacy_bloom.cli.pages.languages import LANGUAGES


@pytest.fixture
def run_demo(python_spacy, tmp_path):
    """A function that runs the command. RETURNS (str): What it has written."""

    def run(*arguments, code=0):
        done = python_spacy.run("-m", "spacy", "bloom", "demo", *arguments, cwd=tmp_path)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    return run


def test_demo_shows_everything_in_many_languages(run_demo, tmp_path):
    output = run_demo()
    page = (tmp_path / "demo.html").read_text(encoding="utf8")
    assert str(tmp_path / "demo.html") in output.replace("\n", "")
    assert len(SENTENCES) >= 10
    found = [line for line in output.splitlines() if re.search(r"\((PER|LOC|ORG)\)", line)]
    assert len(found) >= 10
    assert all(sentence in output for sentence in SENTENCES.values())
    assert (
        page.count('class="topic"')
        == len(TOPICAL)
        == len(re.findall(r"^ +[a-z/]+ \d+%$", output, re.MULTILINE))
    )
    for _, question in PASSAGES.values():
        assert question in output and question in page
    assert page.count("ANSWER") == len(PASSAGES)
    new = re.findall(r'<span class="new">(.*?)</span>', page, flags=re.DOTALL)
    n_ended = page.count("The model ends the text here.")
    assert len(new) + n_ended == len(BEGINNINGS) and len(new) > n_ended and all(new)
    # Figures beside what is shown, scores, and code for each of the five parts.
    assert page.count("on development data") == 3 and page.count("5 million parameters") == 2
    assert len(re.findall(r">(?:PER|LOC|ORG) \d+%</bdi>", page)) > 20 and page.count("<summary>Code") == 5
    assert all(
        f'lang="{LANGUAGES[name].code}"' in page for name in {*SENTENCES, *TOPICAL, *PASSAGES, *BEGINNINGS}
    )
    assert "http" not in page.replace("http://www.w3.org", "")
    # The first token has nothing before it; the others have their bits.
    tokens = re.findall(r'title="([^"]*)"', page[page.index('class="surprisal"') :])
    assert sum(title.startswith("no surprisal") for title in tokens) <= len(SURPRISING)
    assert sum(bool(re.fullmatch(r"\d+\.\d\d bits", title)) for title in tokens) > 30


def test_demo_takes_own_text_and_output(run_demo, tmp_path):
    output = run_demo("Clara Mendes nasceu em Coimbra.", "-o", "mine.html")
    assert "Clara Mendes (PER)" in output
    page = (tmp_path / "mine.html").read_text(encoding="utf8")
    assert "Clara Mendes" in page and "ANSWER" not in page
    output = run_demo("Clara Mendes nasceu em Coimbra.", "-q", "Onde nasceu Clara Mendes?")
    assert "Onde nasceu Clara Mendes?" in (tmp_path / "demo.html").read_text(encoding="utf8")
    assert "Onde nasceu Clara Mendes?" in output


def test_a_question_without_a_text(run_demo, tmp_path):
    assert "your own texts" in run_demo("-q", "Who?", code=1)
    assert not list(tmp_path.iterdir())


def test_sentences_are_in_many_scripts():
    scripts = {unicodedata.name(c).split()[0] for text in SENTENCES.values() for c in text if c.isalpha()}
    assert {"LATIN", "ARABIC", "CJK", "DEVANAGARI", "TELUGU"} <= scripts
