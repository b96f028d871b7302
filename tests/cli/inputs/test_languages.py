"""A language's code says how its texts are cut into tokens."""

import pytest
import spacy

from spacy_bloom.cli.inputs.languages import MULTILINGUAL, find_language
from spacy_bloom.errors import ConfigError


@pytest.mark.parametrize("lang", ["en", "ar", "hi", "de"])
def test_a_language_with_spaces_keeps_spacys_rules(lang):
    assert find_language(lang) == (lang, {})


@pytest.mark.parametrize("lang", ["xx", "zh", "ja", "ko", "th", "vi", "bo"])
def test_a_language_that_needs_more_than_spaces(lang):
    code, tokenizer = find_language(lang)
    assert (code, tokenizer) == (lang, MULTILINGUAL)
    nlp = spacy.blank(code, config={"nlp": {"tokenizer": tokenizer}})  # without any other package
    assert [token.text for token in nlp("iPhone手机")] == ["iPhone", "手", "机"]


def test_several_languages_are_xx():
    assert find_language("en, fr,zh") == ("xx", MULTILINGUAL)
    assert find_language("en,en") == ("en", {})
    assert find_language("deu") == ("de", {})  # another code of the same language


@pytest.mark.parametrize("lang", ["qq", "", "en,", "../en", "en,qq"])
def test_an_unknown_language(lang):
    with pytest.raises(ConfigError, match="knows no language"):
        find_language(lang)
