import pytest
import torch

from spacy_bloom.bloom.arguments import (
    check_cache_position,
    expect_no_head_mask,
    expect_nothing_else,
    take_num_items,
)
from spacy_bloom.errors import InputError


def test_no_head_mask():
    expect_no_head_mask(None)
    expect_no_head_mask([None, None])  # as transformers' own get_head_mask returns it
    for mask in (torch.ones(3), [None, torch.ones(3)]):
        with pytest.raises(InputError, match="head_mask to be None"):
            expect_no_head_mask(mask)


@pytest.mark.parametrize("position, fits", [
    (None, True), ([5, 6], True), ([0, 1], False), ([5], False), ([6, 5], False), ([[5, 6]], False),
])  # fmt: skip
def test_cache_position_agrees_with_the_cache(position, fits):
    position = None if position is None else torch.tensor(position)
    if fits:
        check_cache_position(position, 5, 2)
    else:
        with pytest.raises(InputError, match="from 5 to 6"):
            check_cache_position(position, 5, 2)


def test_positions_are_warned_of():
    with pytest.warns(FutureWarning, match="position_ids"):
        expect_nothing_else({"position_ids": torch.arange(3)})


def test_others_are_errors():
    assert take_num_items({}) is None and take_num_items({"num_items_in_batch": 5, "position_ids": None}) == 5
    for check in (take_num_items, expect_nothing_else):
        with pytest.raises(InputError, match="unexpected arguments: labls, token_type_ids"):
            check({"token_type_ids": 1, "labls": 2})
    with pytest.raises(InputError, match="num_items_in_batch"):
        expect_nothing_else({"num_items_in_batch": 5})
