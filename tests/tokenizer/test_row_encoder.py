import pytest
from transformers.tokenization_utils_base import TruncationStrategy
from transformers.utils import PaddingStrategy

from spacy_bloom.errors import InputError


def test_the_object_can_be_set(both):
    ours, theirs = both()
    arguments = ("max_length", "longest_first", 5, 1, 2, "right")
    ours.set_truncation_and_padding(*arguments)
    theirs.set_truncation_and_padding(
        PaddingStrategy.MAX_LENGTH, TruncationStrategy.LONGEST_FIRST, *arguments[2:]
    )
    for name in ("truncation", "padding"):
        assert getattr(ours.backend_tokenizer, name) == getattr(theirs.backend_tokenizer, name) is not None
    # A call, and a file, are not concerned.
    assert len(ours("a b c d e f g h").input_ids) == 8
    assert ours.backend_tokenizer.truncation is None is ours.backend_tokenizer.padding
    ours.set_truncation_and_padding(*arguments)
    assert b'"truncation":null' in ours.to_strings()[0].replace(b" ", b"")


def test_texts_of_pipelines(tiny_tokenizer):
    (found,) = tiny_tokenizer.encode_plain(["a</s>b"])
    assert not set(found.ids) & set(tiny_tokenizer.all_special_ids) and found.offsets[-1][1] == 6
    pair = tiny_tokenizer.encode_batch([("a", "b")], parallel=False)[0]
    assert pair.sequence_ids == [0, 1]
    with pytest.raises(InputError, match="add_prefix_space"):
        tiny_tokenizer.encode_batch([["a"]], is_split_into_words=True)
