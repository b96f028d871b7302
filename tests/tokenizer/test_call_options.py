import pytest

from spacy_bloom.errors import BloomWarning, InputError
from spacy_bloom.tokenizer.call_options import CallOptions, Layout, check_multiple, columns_of, resolve_layout


@pytest.mark.parametrize(
    "padding, max_length, multiple, expected",
    [
        ("do_not_pad", None, 8, None),
        ("longest", None, None, 5),
        ("longest", 3, None, 5),
        ("longest", None, 4, 8),
        ("max_length", 9, None, 9),
        ("max_length", 3, None, 3),  # longer rows stay as they are
        ("max_length", 9, 5, 10),
    ],
)
def test_the_length_that_rows_are_padded_to(padding, max_length, multiple, expected):
    layout = Layout(padding, "do_not_truncate", max_length)
    assert layout.padded_length([2, 5], multiple) == expected
    assert Layout("longest", "do_not_truncate", None).padded_length([], None) == 0


@pytest.mark.parametrize(
    "padding, truncation, max_length, expected",
    [
        (False, None, None, ("do_not_pad", "do_not_truncate", None)),
        (True, True, 5, ("longest", "longest_first", 5)),
        ("max_length", False, None, ("max_length", "do_not_truncate", 7)),
        (False, "only_second", None, ("do_not_pad", "only_second", 7)),
        (False, False, 5, ("do_not_pad", "do_not_truncate", 5)),
    ],
)
def test_layouts(padding, truncation, max_length, expected):
    layout = resolve_layout(padding, truncation, max_length, model_max_length=7)
    assert (layout.padding, layout.truncation, layout.max_length) == expected
    assert layout.truncates == (expected[1] != "do_not_truncate")


def test_what_is_not_asked_for_is_said():
    with pytest.warns(BloomWarning, match="Cutting to max_length=3"):
        assert resolve_layout(False, None, 3, model_max_length=7).truncation == "longest_first"
    with pytest.warns(BloomWarning, match="without max_length"):
        layout = resolve_layout("max_length", True, None, model_max_length=10**30)
    assert layout == Layout("do_not_pad", "do_not_truncate", None)


def test_multiples():
    check_multiple(Layout("longest", "only_first", 8), 4)
    check_multiple(Layout("longest", "do_not_truncate", 9), 4)
    for layout, multiple in (
        (Layout("longest", "only_first", 9), 4),
        (Layout("longest", "only_first", 9), 0),
    ):
        with pytest.raises(InputError, match="pad_to_multiple_of"):
            check_multiple(layout, multiple)


def test_columns_that_are_asked_for(tiny_tokenizer):
    rows = tiny_tokenizer.encode_batch(["a b"])
    assert list(columns_of(rows, CallOptions(), ["input_ids", "attention_mask"])) == [
        "input_ids",
        "attention_mask",
    ]
    assert list(columns_of(rows, CallOptions(return_attention_mask=False), ["attention_mask"])) == [
        "input_ids"
    ]
    everything = CallOptions(return_length=True, return_offsets_mapping=True, return_special_tokens_mask=True)
    assert columns_of(rows, everything, ["token_type_ids"])["length"] == [len(rows[0])]
