import pytest
from tokenizers import AddedToken

from spacy_bloom.errors import ConfigError, InputError
from spacy_bloom.tokenizer.special_tokens import NAMES, plain_tokens, read_tokens

PROPERTIES = (
    "special_tokens_map",
    "all_special_tokens",
    "all_special_ids",
    "additional_special_tokens",
    "additional_special_tokens_ids",
    "pad_token_type_id",
    "SPECIAL_TOKENS_ATTRIBUTES",
)


def expect_same(ours, theirs):
    for name in PROPERTIES:
        assert getattr(ours, name) == getattr(theirs, name), name
    for name in NAMES[:-1]:
        assert getattr(ours, name) == getattr(theirs, name), name
        assert getattr(ours, f"{name}_id") == getattr(theirs, f"{name}_id"), name
    for name in ("special_tokens_map_extended", "all_special_tokens_extended"):
        assert repr(getattr(ours, name)) == repr(getattr(theirs, name)), name
    assert ours.get_added_vocab() == theirs.get_added_vocab() and len(ours) == len(theirs)


@pytest.mark.parametrize(
    "name, value, expected",
    [
        ("eos_token", AddedToken("</s>", lstrip=True), "</s>"),
        ("eos_token", "</s>", "</s>"),
        ("pad_token", None, None),
        ("additional_special_tokens", [AddedToken("<a>"), "<b>"], ["<a>", "<b>"]),
        ("extra_special_tokens", {"image_token": AddedToken("<i>")}, {"image_token": "<i>"}),
        ("chat_template", {"content": "x"}, {"content": "x"}),
        ("model_max_length", 77, 77),
    ],
)
def test_tokens_as_text(name, value, expected):
    assert plain_tokens(name, value) == expected


def test_tokens_of_records():
    record = {"content": "<m>", "lstrip": True, "__type": "AddedToken"}
    token = read_tokens("mask_token", record)
    assert isinstance(token, AddedToken) and token.content == "<m>" and token.lstrip and token.special
    assert read_tokens("additional_special_tokens", [record, "<b>"])[1] == "<b>"
    assert read_tokens("extra_special_tokens", {"image_token": record})["image_token"].content == "<m>"
    assert read_tokens("chat_template", record) is record
    with pytest.raises(ConfigError, match="control token"):
        read_tokens("mask_token", {"content": 5})


def test_as_they_are_loaded_and_set(both):
    ours, theirs = both()
    expect_same(ours, theirs)
    for name, value in (
        ("pad_token", "</s>"),
        ("sep_token", "no such piece"),
        ("mask_token", AddedToken("<m>", lstrip=True)),
        ("bos_token_id", 5),
        ("unk_token", None),
        ("additional_special_tokens", ["<a>", AddedToken("<b>")]),
    ):
        for tokenizer in (ours, theirs):
            setattr(tokenizer, name, value)
        expect_same(ours, theirs)
    for bad in (5, "", ["a"]):
        with pytest.raises(ConfigError, match="Expected cls_token"):
            ours.cls_token = bad
    with pytest.raises(AttributeError, match="no attribute 'image_token'"):
        _ = ours.image_token


@pytest.mark.parametrize(
    "tokens, options",
    [
        ({"pad_token": "<fill>"}, {}),
        ({"cls_token": AddedToken("<cls>", rstrip=True), "sep_token": "<cls>"}, {}),
        ({"additional_special_tokens": ["<a>", AddedToken("<b>", lstrip=True)]}, {}),
        ({"additional_special_tokens": ["<b>"]}, {"replace_additional_special_tokens": False}),
        ({"additional_special_tokens": []}, {}),
        ({"eos_token": "the"}, {}),
        ({}, {}),
    ],
    ids=str,
)
def test_adding_is_hugging_faces(both, tokens, options):
    ours, theirs = both(additional_special_tokens=["<old>"])
    assert ours.add_special_tokens(tokens, **options) == theirs.add_special_tokens(tokens, **options)
    expect_same(ours, theirs)
    text = "a <a> b<b> <cls> <old> the"
    assert ours(text).input_ids == theirs(text).input_ids
    assert ours.decode(ours(text).input_ids, True) == theirs.decode(theirs(text).input_ids, True)
    assert ours.sanitize_special_tokens() == theirs.sanitize_special_tokens() == 0


def test_what_cannot_be_added(both):
    ours, _ = both()
    for bad in ({"some_token": "a"}, {"pad_token": 5}, {"additional_special_tokens": "<a>"}):
        with pytest.raises(InputError, match="Expected"):
            ours.add_special_tokens(bad)


def test_further_attributes(both, tmp_path):
    ours, theirs = both(extra_special_tokens={"image_token": "<i>"})
    expect_same(ours, theirs)
    assert ours.image_token == theirs.image_token == "<i>" and ours.image_token_id == theirs.image_token_id
    ours.image_token = "<pad>"
    assert ours.image_token_id == 3
    ours.save_pretrained(tmp_path)
    assert (
        type(ours).from_pretrained(tmp_path).image_token == type(theirs).from_pretrained(tmp_path).image_token
    )
