import copy
import pickle
from pathlib import Path

import pytest
import transformers
from tokenizers import AddedToken

from spacy_bloom import BloomTokenizerFast
from spacy_bloom.errors import ConfigError
from spacy_bloom.tokenizer.tokenizer_config import read_added_token


def test_made_of_a_file_an_object_its_content_or_nothing(tiny_files, both):
    _, theirs = both()
    file = f"{tiny_files}/tokenizer.json"
    content = Path(file).read_bytes()
    made = [
        BloomTokenizerFast(tokenizer_file=file),
        BloomTokenizerFast(None, None, file),
        BloomTokenizerFast(tokenizer_object=theirs.backend_tokenizer),
        BloomTokenizerFast(theirs.backend_tokenizer),
        BloomTokenizerFast(tokenizer_buffer=content),
    ]
    other = transformers.BloomTokenizerFast(tokenizer_file=file)
    for tokenizer in made:
        assert tokenizer("a b</s>") == other("a b</s>")
        assert (tokenizer.padding_side, tokenizer.truncation_side) == (
            other.padding_side,
            other.truncation_side,
        )
        assert tokenizer.padding_side == "right"  # what no file says
    made[2].add_tokens("new")
    assert theirs.backend_tokenizer.token_to_id("new") is None  # it was copied
    for bad in (
        {},
        {"vocab_file": "vocab.json", "merges_file": "merges.txt"},
        {"tokenizer_file": "nowhere.json"},
    ):
        with pytest.raises(ConfigError):
            BloomTokenizerFast(**bad)
        with pytest.raises(Exception):  # noqa: B017
            transformers.BloomTokenizerFast(**bad)


def test_it_shows_what_it_is(both):
    ours, theirs = both(model_max_length=7, additional_special_tokens=["<a>"])
    assert repr(ours) == repr(theirs) and str(ours) == str(theirs)


@pytest.mark.parametrize("copied", [lambda t: pickle.loads(pickle.dumps(t)), copy.deepcopy])
def test_copies_are_their_own(both, copied):
    ours, _ = both(chat_template="x")
    ours.add_special_tokens({"mask_token": AddedToken("<m>", lstrip=True)})
    back = copied(ours)
    assert back.to_strings() == ours.to_strings() and repr(back) == repr(ours)
    back.add_tokens("new")
    back.pad_token = "<m>"
    assert len(back) == len(ours) + 1 and ours.pad_token == "<pad>"


def test_unknown_fields_are_kept(tiny_files):
    tokenizer = BloomTokenizerFast.from_pretrained(
        tiny_files, somebody="else", model_input_names=["input_ids"]
    )
    assert tokenizer.init_kwargs["somebody"] == "else" == tokenizer.to_strings()[1]["somebody"]
    assert list(tokenizer("a")) == ["input_ids"]


@pytest.mark.parametrize(
    "options",
    [
        dict(truncation_side="top"),
        dict(clean_up_tokenization_spaces="yes"),
        dict(chat_template=5),
        dict(extra_special_tokens=["<a>"]),
        dict(extra_special_tokens={"image_token": 5}),
        dict(added_tokens_decoder={5: "<a>"}),
        dict(added_tokens_decoder={"five": {"content": "<a>"}}),
        dict(added_tokens_decoder=["<a>"]),
    ],
)
def test_options_that_are_none(tiny_files, options):
    with pytest.raises(ConfigError, match="Expected"):
        BloomTokenizerFast.from_pretrained(tiny_files, **options)


def test_added_tokens_of_a_config():
    token = read_added_token({"content": "<a>", "lstrip": True, "special": True})
    assert token.content == "<a>" and token.lstrip and token.special and read_added_token(token) is token
    with pytest.raises(ConfigError, match="content"):
        read_added_token({"lstrip": True})
