import warnings
from types import SimpleNamespace

import pytest
import torch

from spacy_bloom.errors import BloomWarning, InputError

TEMPLATE = (
    "{{ bos_token }}{% if tools %}{{ tools | tojson }}{% endif %}"
    "{% for d in documents or [] %}{{ d.title }}{% endfor %}"
    "{% for m in messages %}{{ m.role + ': ' }}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
    "{{ eos_token }}{% endgeneration %}{% else %}{{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}assistant:{{ more }}{% endif %}"
)
CHAT = [{"role": "user", "content": "नदी? </s>"}, {"role": "assistant", "content": "The river. "}]
SHORT = [{"role": "user", "content": "Hi"}]


def find(place: str) -> str:
    """Finds a place.

    Args:
        place: Its name.
    """
    return place


def plain(value):
    if hasattr(value, "items"):
        return {k: plain(v) for k, v in value.items()}
    return value.tolist() if hasattr(value, "tolist") else value


@pytest.mark.parametrize(
    "chat", [CHAT, [CHAT, SHORT], SimpleNamespace(messages=SHORT)], ids=["one", "two", "object"]
)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tokenize": False},
        {"add_generation_prompt": True, "more": "é", "return_dict": True},
        {"continue_final_message": True, "tokenize": False},
        {"continue_final_message": True},
        {"padding": True, "return_tensors": "pt", "return_dict": True},
        {"padding": "max_length", "truncation": True, "max_length": 9},
        {"return_dict": True, "return_assistant_tokens_mask": True},
        {"return_dict": True, "return_assistant_tokens_mask": True, "padding": True, "return_tensors": "np"},
        {"return_dict": True, "return_assistant_tokens_mask": True, "truncation": True, "max_length": 12},
        {
            "tools": [find, {"type": "function"}],
            "documents": [{"title": "T", "text": "x"}],
            "tokenize": False,
        },
        {"tokenizer_kwargs": {"return_offsets_mapping": True}, "return_dict": True},
        {"bos_token": "", "eos_token": "\n"},
        {"chat_template": "{% for m in messages %}{{ m.content }}\n{% endfor %}"},
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_chats_are_hugging_faces(both, chat, options):
    ours, theirs = both(chat_template=TEMPLATE)
    if "tools" in options:
        options = {**options, "tools": [find]}
    found, expected = ours.apply_chat_template(chat, **options), theirs.apply_chat_template(chat, **options)
    assert plain(found) == plain(expected) and type(found).__name__ == type(expected).__name__


def test_control_tokens_in_messages_can_be_text(both):
    ours, theirs = both(chat_template=TEMPLATE)
    text = ours.apply_chat_template(CHAT, tokenize=False)
    read = ours.apply_chat_template(CHAT)
    assert read.count(2) == theirs.apply_chat_template(CHAT).count(2) == 3
    safe = {"split_special_tokens": True}
    encoding = ours.apply_chat_template(CHAT, tokenizer_kwargs=safe, return_dict=True)
    assert encoding["input_ids"].count(2) == 2 and encoding["input_ids"][0] == 1
    assert ours.decode(encoding["input_ids"]) == text
    assert encoding.char_to_token(len(text) - 1) == len(encoding["input_ids"]) - 1
    ours.split_special_tokens = True
    assert ours.apply_chat_template(CHAT) == encoding["input_ids"]
    # Without such tokens it is the same.
    assert ours.apply_chat_template(SHORT) == theirs.apply_chat_template(SHORT)
    options = dict(padding=True, truncation=True, max_length=8, return_dict=True, return_tensors="pt")
    found = ours.apply_chat_template([SHORT, CHAT], **options)
    expected = theirs.apply_chat_template([SHORT, SHORT], **options)
    assert torch.equal(found.input_ids[0][-len(expected.input_ids[0]) :], expected.input_ids[0])
    options = dict(return_dict=True, return_assistant_tokens_mask=True)
    found = ours.apply_chat_template(CHAT, **options)
    pieces = zip(found.input_ids, found.assistant_masks, strict=True)
    assert ours.decode([i for i, own in pieces if own]) == " The river. </s>"


def test_which_template(both):
    ours, theirs = both()
    for tokenizer in (ours, theirs):
        with pytest.raises(ValueError, match="chat_template"):
            tokenizer.apply_chat_template(SHORT)
        tokenizer.chat_template = {"rag": "r", "tool_use": "t"}
        with pytest.raises(ValueError, match="rag"):
            tokenizer.get_chat_template()
        assert tokenizer.get_chat_template(tools=[]) == "t" and tokenizer.get_chat_template("rag") == "r"
        assert tokenizer.get_chat_template("{{ messages }}") == "{{ messages }}"
        tokenizer.chat_template = "own"
        assert tokenizer.get_chat_template() == "own" and tokenizer.get_chat_template("other") == "other"


@pytest.mark.parametrize(
    "options",
    [
        dict(return_dict=True, tokenize=False),
        dict(return_assistant_tokens_mask=True),
        dict(continue_final_message=True, add_generation_prompt=True),
        dict(continue_final_message=True, return_assistant_tokens_mask=True, return_dict=True),
        dict(continue_final_message=True, chat_template="nothing"),
        dict(documents=["text"]),
        dict(tools=["name"]),
        dict(tokenizer_kwargs={"pading": True}),
    ],
    ids=str,
)
def test_options_that_do_not_fit(both, options):
    ours, theirs = both(chat_template=TEMPLATE)
    with pytest.raises(InputError):
        ours.apply_chat_template(SHORT, **options)
    with pytest.raises((ValueError, TypeError)):
        theirs.apply_chat_template(SHORT, **options)


def test_no_chat(both):
    with pytest.raises(InputError, match="one message or more"):
        both(chat_template=TEMPLATE)[0].apply_chat_template([])


def test_a_mask_of_a_template_without_the_tag(both):
    ours, _ = both(chat_template="{{ messages[0].content }}")
    with pytest.warns(BloomWarning, match="generation"):
        found = ours.apply_chat_template(SHORT, return_dict=True, return_assistant_tokens_mask=True)
    assert set(found.assistant_masks) == {0}


def test_parts_of_a_message(both):
    ours, theirs = both(chat_template="{% for p in messages[-1].content %}{{ p.text }}{% endfor %}!")
    chat = [
        {"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b c"}]}
    ]
    options = dict(continue_final_message=True, tokenize=False)
    assert ours.apply_chat_template(chat, **options) == theirs.apply_chat_template(chat, **options) == "ab c"
    with warnings.catch_warnings(), pytest.raises(InputError, match="last message"):
        ours.apply_chat_template([{"role": "assistant", "content": [{"type": "image"}]}], **options)
