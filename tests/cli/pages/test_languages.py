"""Languages have codes that spaCy or browsers know, and names in themselves."""

from spacy_bloom.cli.demo import BEGINNINGS, PASSAGES, SENTENCES, SURPRISING, TOPICAL
from spacy_bloom.cli.pages.languages import LANGUAGES


def test_every_text_of_the_demo_has_a_language():
    assert {*SENTENCES, *TOPICAL, *PASSAGES, *BEGINNINGS, *SURPRISING} == set(LANGUAGES)


def test_codes_differ():
    assert len({language.code for language in LANGUAGES.values()}) == len(LANGUAGES)
