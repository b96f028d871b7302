from spacy_bloom.conversion.piece_ids import TOKENIZER_FIELDS, named_ids, with_ids


def plus(number):
    return lambda i: i + number


def test_fields_of_configs():
    content = {
        "vocab_size": 9,
        "bos_token_id": 1,
        "eos_token_id": [2, 5],
        "pad_token_id": None,
        "add_bos_token": True,
        "bad_words_ids": [[3, 4], [5]],
        "suppress_tokens": [7],
        "sequence_bias": [[[3, 4], -2], [[5], 0.5], []],
        "task_specific_params": {"generation": {"max_length": 20, "forced_bos_token_id": 6}},
        "added_tokens_decoder": {"3": {"content": "<pad>", "special": True}, "x": 1},
    }
    assert with_ids(content, plus(10)) == {
        "vocab_size": 9,
        "bos_token_id": 11,
        "eos_token_id": [12, 15],
        "pad_token_id": None,
        "add_bos_token": True,
        "bad_words_ids": [[13, 14], [15]],
        "suppress_tokens": [17],
        "sequence_bias": [[[13, 14], -2], [[15], 0.5], []],
        "task_specific_params": {"generation": {"max_length": 20, "forced_bos_token_id": 16}},
        "added_tokens_decoder": {"13": {"content": "<pad>", "special": True}, "x": 1},
    }
    assert sorted(named_ids(content)) == [1, 2, 3, 3, 3, 4, 4, 5, 5, 5, 6, 7]
    assert with_ids(content, plus(0)) == content and named_ids(["no", {"ids": 3}, None]) == []


def test_parts_of_a_tokenizer():
    parts = {
        "padding": {"strategy": "BatchLongest", "pad_id": 3, "pad_type_id": 0},
        "post_processor": {
            "type": "Sequence",
            "processors": [
                {"type": "BertProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1]},
                {
                    "type": "TemplateProcessing",
                    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}],
                    "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
                },
            ],
        },
    }
    new = with_ids(parts, plus(4), fields=TOKENIZER_FIELDS)
    assert new["padding"] == {"strategy": "BatchLongest", "pad_id": 7, "pad_type_id": 0}
    bert, template = new["post_processor"]["processors"]
    assert (bert["sep"], bert["cls"]) == (["</s>", 6], ["<s>", 5])
    assert template["special_tokens"]["<s>"] == {"id": "<s>", "ids": [5], "tokens": ["<s>"]}
    assert template["single"] == [{"SpecialToken": {"id": "<s>", "type_id": 0}}]
    assert sorted(named_ids(parts, fields=TOKENIZER_FIELDS)) == [1, 1, 2, 3]


def test_what_is_malformed_stays_as_it_is():
    content = {"added_tokens_decoder": [1], "sequence_bias": {"a": 1}, "bos_token_id": "<s>"}
    assert with_ids(content, plus(1)) == content
    assert with_ids({"sequence_bias": [3]}, plus(1)) == {"sequence_bias": [3]}
