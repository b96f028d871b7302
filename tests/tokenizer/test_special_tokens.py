import pytest

from spacy_bloom.errors import ConfigError
from spacy_bloom.tokenizer.special_tokens import SpecialTokens, plain_tokens


@pytest.mark.parametrize(
    "name, value, expected",
    [
        ("eos_token", {"content": "</s>", "lstrip": False}, "</s>"),
        ("eos_token", "</s>", "</s>"),
        ("pad_token", None, None),
        ("additional_special_tokens", [{"content": "<a>"}, "<b>"], ["<a>", "<b>"]),
        ("extra_special_tokens", {"image_token": {"content": "<i>"}}, {"image_token": "<i>"}),
        ("chat_template", {"content": "x"}, {"content": "x"}),
        ("model_max_length", 77, 77),
    ],
)
def test_tokens_as_text(name, value, expected):
    assert plain_tokens(name, value) == expected


def test_tokens_that_are_not_there_are_added(tiny_tokenizer):
    made = SpecialTokens()
    made.backend_tokenizer = tiny_tokenizer.backend_tokenizer
    before = made.backend_tokenizer.get_vocab_size()
    named = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>"}
    made.init_kwargs = {**named, "sep_token": "<sep>", "additional_special_tokens": ["<a>", "<unk>"]}
    made._set_special_tokens()
    assert made.all_special_tokens == ["<unk>", "<s>", "</s>", "<sep>", "<a>"]
    assert made.all_special_ids == [0, 1, 2, before, before + 1]
    assert made.pad_token_id == made.eos_token_id == 2
    made.init_kwargs = {**named, "eos_token": ""}
    with pytest.raises(ConfigError, match="eos_token to be a control token"):
        made._set_special_tokens()
