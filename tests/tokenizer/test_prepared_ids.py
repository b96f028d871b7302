import warnings

import numpy
import pytest
import torch
import transformers
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spacy_bloom.errors import BloomWarning, InputError
from spacy_bloom.tokenizer.prepared_ids import shares

STRATEGY = st.sampled_from(["longest_first", "only_first", "only_second", "do_not_truncate"])
SIDE = st.sampled_from(["left", "right"])
IDS = st.lists(st.integers(4, 99), max_size=6)
FEATURES = [{"input_ids": [5, 6, 7], "labels": [5, 6, 7]}, {"input_ids": [8], "labels": [8]}]


def plain(encoding):
    return {k: v.tolist() if hasattr(v, "tolist") else v for k, v in encoding.items()}


@pytest.mark.parametrize(
    "fields",
    [
        {"input_ids": [5, 6]},
        {"input_ids": [[5, 6], [7]], "special_tokens_mask": [[0, 1], [0]], "token_type_ids": [[0, 0], [1]]},
        [
            {"input_ids": [5, 6], "attention_mask": [1, 1], "other": "x"},
            {"input_ids": [7], "attention_mask": [1], "other": "y"},
        ],
        {"input_ids": [torch.tensor([5, 6]), torch.tensor([7])]},
        {"input_ids": numpy.array([[5, 6], [7, 8]])},
        [{"input_ids": numpy.array([5, 6])}, {"input_ids": numpy.array([7])}],
        {"input_ids": []},
        {"input_ids": [[], [5]]},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"padding": "max_length", "max_length": 5},
        {"pad_to_multiple_of": 4, "padding_side": "right"},
        {"return_attention_mask": False},
    ],
    ids=str,
)
def test_padding_is_hugging_faces(shared_tokenizers, fields, options):
    ours, theirs = shared_tokenizers[False]
    # Theirs changes what it is given.
    copied = dict(fields) if isinstance(fields, dict) else [dict(row) for row in fields]
    mine, other = ours.pad(fields, **options), theirs.pad(copied, **options)
    assert plain(mine) == plain(other)
    assert [type(v) for v in mine.values()] == [type(v) for v in other.values()]


def test_what_cannot_be_padded(both):
    ours, _ = both()
    for bad, message in (
        ({"labels": [1]}, "input_ids"),
        ("text", "Expected an encoding"),
        ({"input_ids": [[1], [2]], "labels": [1]}, "as many rows"),
    ):
        with pytest.raises(InputError, match=message):
            ours.pad(bad)
    with pytest.raises(InputError, match="Rows of 1 to 3 pieces.*labels"):
        ours.pad(FEATURES, return_tensors="pt")
    ours.pad_token = None
    with pytest.raises(InputError, match="pad_token"):
        ours.pad(FEATURES)


@settings(max_examples=150, deadline=None)
@given(
    ids=IDS,
    pair=st.none() | IDS,
    count=st.integers(-1, 7),
    stride=st.integers(0, 3),
    strategy=STRATEGY,
    side=SIDE,
)
@example(ids=[4, 4], pair=[], count=4, stride=0, strategy="longest_first", side="right")
def test_cutting_is_hugging_faces(shared_tokenizers, ids, pair, count, stride, strategy, side):
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for tokenizer in shared_tokenizers[False]:
            before, tokenizer.truncation_side = tokenizer.truncation_side, side
            found.append(tokenizer.truncate_sequences(ids, pair, count, strategy, stride))
            tokenizer.truncation_side = before
    assert found[0] == found[1]


def test_how_much_two_texts_lose():
    assert shares(5, 2, 2) == (2, 0) and shares(2, 5, 5) == (1, 4) and shares(3, 3, 3) == (1, 2)


def test_what_is_too_short_is_not_cut(shared_tokenizers):
    ours, _ = shared_tokenizers[False]
    with pytest.warns(BloomWarning, match="Nothing was cut"):
        assert ours.truncate_sequences([5, 6], None, 2, "only_first") == ([5, 6], None, [])
    with pytest.raises(InputError, match="truncation_strategy"):
        ours.truncate_sequences([5, 6], None, 1, "some")


@pytest.mark.parametrize(
    "arguments, options",
    [
        (([5, 6, 7],), {}),
        (([5, 6, 7], [8, 9]), {"return_token_type_ids": True, "return_length": True}),
        (([5, 6, 7], [8, 9]), {"truncation": True, "max_length": 4, "padding": "max_length"}),
        (
            ([5, 6, 7],),
            {"truncation": "only_first", "max_length": 2, "stride": 1, "return_overflowing_tokens": True},
        ),
        (
            ([5, 6, 7],),
            {"return_tensors": "pt", "prepend_batch_axis": True, "pad_to_multiple_of": 4, "padding": True},
        ),
        (([5], [6], True, "max_length", "only_first", 4), {}),
        (([5], None, False), {"return_attention_mask": False, "return_special_tokens_mask": True}),
    ],
)
def test_prepared_ids_are_hugging_faces(shared_tokenizers, arguments, options):
    ours, theirs = shared_tokenizers[False]
    mine, other = (t.prepare_for_model(*arguments, **options) for t in (ours, theirs))
    assert plain(mine) == plain(other) and list(mine) == list(other)


def test_options_of_prepared_ids_that_do_not_fit(shared_tokenizers):
    ours, _ = shared_tokenizers[False]
    with pytest.raises(InputError, match="add_special_tokens=False"):
        ours.prepare_for_model([5], return_token_type_ids=True, add_special_tokens=False)
    with pytest.raises(InputError, match="only_second"):
        ours.prepare_for_model([5], [6], truncation=True, max_length=1, return_overflowing_tokens=True)


def test_masks(both):
    ours, theirs = both()
    for tokenizer in (ours, theirs):
        tokenizer.add_special_tokens({"sep_token": "<sep>"})
    for name, arguments in (
        ("build_inputs_with_special_tokens", ([5], [6, 7])),
        ("build_inputs_with_special_tokens", ([5],)),
        ("create_token_type_ids_from_sequences", ([5], [6, 7])),
        ("create_token_type_ids_from_sequences", ([5],)),
        ("get_special_tokens_mask", ([5, 2, 3, 0], None, True)),
        ("num_special_tokens_to_add", (True,)),
    ):
        assert getattr(ours, name)(*arguments) == getattr(theirs, name)(*arguments), name
    with pytest.raises(InputError, match="return_special_tokens_mask"):
        ours.get_special_tokens_mask([5])


TEXTS = ["The river was high", "a", "नदी 今天"]


@pytest.mark.parametrize(
    "make",
    [
        lambda t: (transformers.DataCollatorWithPadding(t), [t(text) for text in TEXTS]),
        lambda t: (
            transformers.DataCollatorForTokenClassification(t, pad_to_multiple_of=4),
            [{**t(text), "labels": list(range(len(t(text).input_ids)))} for text in TEXTS],
        ),
        lambda t: (transformers.DataCollatorForLanguageModeling(t, mlm=False), [t(text) for text in TEXTS]),
        lambda t: (
            transformers.DataCollatorForLanguageModeling(t, mlm=True, seed=3),
            [t(text, return_special_tokens_mask=True) for text in TEXTS],
        ),
        lambda t: (
            transformers.DataCollatorForLanguageModeling(t, mlm=False),
            [t(text).input_ids for text in TEXTS],
        ),
        lambda t: (
            transformers.DataCollatorForSeq2Seq(t, label_pad_token_id=-100),
            [{**t(text), "labels": t(text[:3]).input_ids} for text in TEXTS],
        ),
        lambda t: (transformers.default_data_collator, [{**t("a b"), "label": 1}, {**t("c d"), "label": 0}]),
    ],
)
def test_data_collators(both, make):
    batches = []
    for tokenizer in both():
        tokenizer.add_special_tokens({"mask_token": "<mask>"})
        torch.manual_seed(0)
        collator, features = make(tokenizer)
        batches.append(collator(features))
    assert plain(batches[0]) == plain(batches[1])
