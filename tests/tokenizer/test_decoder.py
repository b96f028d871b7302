import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_bloom.errors import InputError


@settings(max_examples=150, deadline=None)
@given(
    ids=st.lists(st.integers(0, 12287), max_size=12),
    skip=st.booleans(),
    clean=st.sampled_from([None, True, False]),
)
def test_any_ids(shared_tokenizers, ids, skip, clean):
    ours, theirs = shared_tokenizers[False]
    assert ours.decode(ids, skip, clean) == theirs.decode(ids, skip, clean)
    pieces = [piece for piece in ours.convert_ids_to_tokens(ids) if piece.isascii() or len(piece) > 1]
    assert ours.convert_tokens_to_string(pieces) == theirs.convert_tokens_to_string(pieces)


def test_ids_in_every_form(shared_tokenizers, texts):
    ours, theirs = shared_tokenizers[False]
    rows = ours(texts, padding=True).input_ids
    for given_rows in (rows, numpy.array(rows), torch.tensor(rows), [torch.tensor(row) for row in rows]):
        for skip in (False, True):
            expected = theirs.batch_decode(rows, skip_special_tokens=skip)
            assert ours.batch_decode(given_rows, skip_special_tokens=skip) == expected
    assert ours.batch_decode([68, 281]) == theirs.batch_decode([68, 281])
    assert ours.decode(68) == theirs.decode(68) == ours.decode(torch.tensor(68))
    assert ours.decode([68], spaces_between_special_tokens=False, use_source_tokenizer=True) == "a"
    with pytest.raises(InputError, match="batch_decode"):
        ours.decode(rows)


def test_cleaning(both):
    text = "do n't , I 'm . It 's ' we 've 're ! ?"
    ours, theirs = both(clean_up_tokenization_spaces=True)
    ids = ours(text).input_ids
    assert ours.decode(ids) == theirs.decode(ids) == ours.clean_up_tokenization(text) != text
    assert ours.decode(ids, clean_up_tokenization_spaces=False) == text
    ours.clean_up_tokenization_spaces = False
    assert ours.decode(ids) == text
