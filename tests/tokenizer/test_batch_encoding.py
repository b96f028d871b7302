import copy
import pickle
import warnings

import numpy
import pytest
import torch
import transformers
from tokenizers import Tokenizer

from spacy_bloom.errors import BloomWarning, InputError
from spacy_bloom.tokenizer.batch_encoding import BatchEncoding, CharSpan, TokenSpan

TEXTS = ["The river, अ", "", " 今天 👩‍👩‍👧 e\u0301", "a b c"]
PAIRS = ["and", "b", "c d", "é"]


@pytest.fixture
def both(tiny_tokenizer_json):
    backend = Tokenizer.from_str(tiny_tokenizer_json)
    theirs = transformers.BloomTokenizerFast(tokenizer_object=backend)

    def encode(tokenizer, *args, **options):
        return tokenizer(*args, **options), theirs(*args, **options)

    return encode


def test_fields_are_keys_and_attributes():
    encoding = BatchEncoding({"input_ids": torch.arange(3), "words_of": ["a"]})
    assert encoding.words_of == encoding["words_of"] == ["a"]
    assert list(encoding) == list(encoding.keys()) == ["input_ids", "words_of"] and "input_ids" in encoding
    assert len(encoding) == 2 and dict(**encoding).keys() == encoding.keys()
    assert encoding.to("meta") is encoding and encoding.input_ids.device.type == "meta"
    with pytest.raises(AttributeError, match="no 'labels', only"):
        _ = encoding.labels
    with pytest.warns(BloomWarning, match="ids have no other type"):
        encoding.to(torch.float16)
    assert BatchEncoding({"input_ids": [[1], [2]]})[1:] == {"input_ids": [[2]]}
    with pytest.raises(KeyError):
        _ = encoding[0]
    assert not encoding.is_fast and encoding.encodings is None and encoding.n_sequences is None
    with pytest.raises(InputError, match="no characters"):
        encoding.tokens()


@pytest.mark.parametrize("pairs", [None, PAIRS])
def test_places_are_hugging_faces(tiny_tokenizer, both, pairs):
    ours, theirs = both(tiny_tokenizer, TEXTS, pairs, padding=True, padding_side="right")
    assert (ours.n_sequences, ours.is_fast) == (theirs.n_sequences, theirs.is_fast)
    for i in range(len(TEXTS)):
        assert ours.tokens(i) == theirs.tokens(i) and ours.word_ids(i) == theirs.word_ids(i)
        assert ours.sequence_ids(i) == theirs.sequence_ids(i)
        assert ours[i].ids == theirs[i].ids == ours.encodings[i].ids
        for piece in range(len(ours[i])):
            for name in ("token_to_sequence", "token_to_word", "token_to_chars"):
                assert getattr(ours, name)(i, piece) == getattr(theirs, name)(i, piece), name
        for sequence in (0, 1) if pairs else (0,):
            for char in range(8):
                for name in ("char_to_token", "char_to_word"):
                    assert getattr(ours, name)(i, char, sequence) == getattr(theirs, name)(i, char, sequence)
            places = zip(ours.word_ids(i), ours.sequence_ids(i), strict=True)
            for word in {word for word, its_sequence in places if its_sequence == sequence}:
                found = ours.word_to_tokens(i, word, sequence), ours.word_to_chars(i, word, sequence)
                assert found == (
                    theirs.word_to_tokens(i, word, sequence),
                    theirs.word_to_chars(i, word, sequence),
                )


def test_one_row_needs_no_number(tiny_tokenizer):
    encoding = tiny_tokenizer("The river")
    assert encoding.char_to_token(5) == encoding.char_to_token(0, 5) is not None
    assert isinstance(encoding.token_to_chars(0), CharSpan) and isinstance(
        encoding.word_to_tokens(0), TokenSpan
    )
    assert encoding.word_to_chars(0) == (0, 3) and encoding.char_to_word(1) == 0
    # From the end, where Hugging Face's fails.
    assert encoding.token_to_word(-1) == encoding.word_ids()[-1] == 1
    with pytest.warns(FutureWarning, match="word_ids"):
        assert encoding.words() == encoding.word_ids()


@pytest.mark.parametrize("copied", [lambda e: pickle.loads(pickle.dumps(e)), copy.deepcopy, copy.copy])
def test_copies(tiny_tokenizer, copied):
    encoding = tiny_tokenizer(TEXTS, PAIRS, padding=True, return_tensors="pt")
    back = copied(encoding)
    assert type(back) is BatchEncoding and torch.equal(back.input_ids, encoding.input_ids)
    assert back.tokens(2) == encoding.tokens(2) and back.n_sequences == 2


def test_tensors_of_its_fields():
    encoding = BatchEncoding({"input_ids": [1, 2], "scores": [0.5, 1.0]})
    assert encoding.convert_to_tensors() is encoding and encoding.input_ids == [1, 2]
    assert encoding.convert_to_tensors("np", prepend_batch_axis=True).input_ids.shape == (1, 2)
    assert encoding.scores.dtype == numpy.float64
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = BatchEncoding({"input_ids": [[1, 2]]}, tensor_type="pt")
    assert made.input_ids.dtype == torch.int64
    with pytest.raises(InputError, match=r"1 to 2 pieces.*input_ids"):
        BatchEncoding({"input_ids": [[1], [1, 2]]}, tensor_type="pt")
