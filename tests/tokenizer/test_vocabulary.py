import numpy
import pytest
import torch
from tokenizers import AddedToken

from spacy_bloom.errors import InputError
from spacy_bloom.tokenizer.vocabulary import as_ids


def test_what_there_is(both):
    ours, theirs = both()
    for tokenizer in (ours, theirs):
        tokenizer.add_tokens(["Straße", "<i>"])
    for name in ("vocab_size", "vocab", "added_tokens_encoder", "is_fast", "slow_tokenizer_class"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert list(ours.added_tokens_encoder) == list(theirs.added_tokens_encoder)
    assert repr(ours.added_tokens_decoder) == repr(theirs.added_tokens_decoder)
    assert ours.get_vocab() == theirs.get_vocab() and ours.get_added_vocab() == theirs.get_added_vocab()
    assert (
        len(ours) == len(theirs)
        and bool(ours)
        and ours.can_save_slow_tokenizer == theirs.can_save_slow_tokenizer
    )
    assert str(ours.decoder) == str(theirs.decoder) and ours.vocab_files_names == theirs.vocab_files_names
    assert ours.backend_tokenizer is ours._tokenizer


@pytest.mark.parametrize(
    "tokens, special",
    [
        ("été", False),
        (["a", "<x>", "<x>"], False),
        (AddedToken("word", single_word=True, lstrip=True), False),
        ([AddedToken("<y>", rstrip=True), "<z>"], True),
        ([], False),
    ],
)
def test_adding_is_hugging_faces(both, tokens, special):
    ours, theirs = both()
    assert ours.add_tokens(tokens, special) == theirs.add_tokens(tokens, special_tokens=special)
    assert repr(ours.added_tokens_decoder) == repr(theirs.added_tokens_decoder)
    text = "l'été <x>a word words <y> b<z>"
    ids = ours(text).input_ids
    assert ids == theirs(text).input_ids
    # Tokens that take the spaces beside them lose these.
    assert ours.decode(ids).replace(" ", "") == text.replace(" ", "")
    pieces = ours.convert_ids_to_tokens(ids)
    assert pieces == theirs.convert_ids_to_tokens(ids) and ours.convert_tokens_to_ids(pieces) == ids


def test_tokens_that_are_none(both):
    with pytest.raises(InputError, match="tokens as text"):
        both()[0].add_tokens(["a", 5])


def test_skipping_control_tokens(both):
    ours, theirs = both()
    ids = [68, 2, 3, 281]
    for given in (ids, torch.tensor(ids), numpy.array(ids)):
        found = ours.convert_ids_to_tokens(given, skip_special_tokens=True)
        assert found == theirs.convert_ids_to_tokens(ids, skip_special_tokens=True) and len(found) == 2
    assert ours._convert_id_to_token(68) == theirs._convert_id_to_token(68)
    assert ours.convert_tokens_to_ids("no such piece") == theirs.convert_tokens_to_ids("no such piece") == 0
    ours.unk_token = theirs.unk_token = None
    assert (
        ours.convert_tokens_to_ids("no such piece") is theirs.convert_tokens_to_ids("no such piece") is None
    )


def test_ids():
    assert as_ids(5) == as_ids(numpy.int64(5)) == as_ids(torch.tensor(5)) == ([5], True)
    assert as_ids([5, torch.tensor(6)]) == as_ids(range(5, 7)) == ([5, 6], False)
    for bad in ([-1], [2**40], [[1], [2]], ["a"], [0.5]):
        with pytest.raises(InputError, match="Expected ids of pieces"):
            as_ids(bad)
