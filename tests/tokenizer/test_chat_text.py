import pytest

from spacy_bloom.errors import ConfigError
from spacy_bloom.tokenizer.chat_text import Rendered, read_chat_template, templates_as_list


def test_templates_of_configs():
    several = {"default": "a", "rag": "b"}
    assert read_chat_template(templates_as_list(several)) == several == read_chat_template(several)
    assert read_chat_template("a") == "a" and read_chat_template(None) is None
    for bad in (5, {"a": 5}, [{"name": "a"}], ["a"]):
        with pytest.raises(ConfigError, match="chat_template"):
            read_chat_template(bad)


def test_a_chat_that_is_cut_keeps_the_control_tokens_before():
    chat = Rendered("<s>ab</s>", [(3, 5)], [(0, 3), (5, 9)])
    assert chat.cut(5) == Rendered("<s>ab", [(3, 5)], [(0, 3)])
