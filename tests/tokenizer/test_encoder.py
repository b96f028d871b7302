import inspect
import warnings

import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.tokenization_utils_base import TruncationStrategy
from transformers.utils import PaddingStrategy, TensorType

from spacy_bloom import BloomTokenizerFast
from spacy_bloom.errors import BloomWarning, InputError

HF = transformers.BloomTokenizerFast
TEXT = st.text(st.sampled_from("ab .,</s>é今🙂\u0301 \nहि"), max_size=25)
OPTIONS = {
    "padding": st.sampled_from([True, False, "longest", "max_length", "do_not_pad"]),
    "truncation": st.sampled_from(
        [True, False, "longest_first", "only_first", "only_second", "do_not_truncate"]
    ),
    "max_length": st.sampled_from([6, 8, 30]),
    "stride": st.sampled_from([0, 1, 3]),
    "pad_to_multiple_of": st.sampled_from([None, 2]),
    "padding_side": st.sampled_from([None, "left", "right"]),
    "return_token_type_ids": st.sampled_from([None, True]),
    "return_attention_mask": st.sampled_from([None, True, False]),
    "return_overflowing_tokens": st.booleans(),
    "return_special_tokens_mask": st.booleans(),
    "return_offsets_mapping": st.booleans(),
    "return_length": st.booleans(),
    "split_special_tokens": st.booleans(),
}


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def call(tokenizer, *texts, **options):
    """RETURNS: An encoding, or the error: ours is always InputError, theirs anything, panics included."""
    try:
        return tokenizer(*texts, **options)
    except BaseException as error:
        return error


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_options(shared_tokenizers, expect_same, data):
    words = data.draw(st.booleans())
    text = st.lists(TEXT, min_size=1, max_size=4) if words else TEXT
    texts = data.draw(st.one_of(text, st.lists(text, min_size=1, max_size=3)))
    is_batch = isinstance(texts, list) and (not words or isinstance(texts[0], list))
    pairs = data.draw(
        st.none() | (st.lists(text, min_size=len(texts), max_size=len(texts)) if is_batch else text)
    )
    options = data.draw(st.fixed_dictionaries({}, optional=OPTIONS))
    if options.get("stride") and "max_length" not in options:
        options.pop("stride")
    results = []
    for tokenizer in shared_tokenizers[words]:
        tokenizer.truncation_side = "left" if len(texts) % 2 else "right"
        results.append(call(tokenizer, texts, pairs, is_split_into_words=words, **options))
    ours, theirs = results
    if isinstance(theirs, BaseException):
        assert isinstance(ours, InputError), (ours, theirs)
    else:
        expect_same(ours, theirs)


@pytest.mark.parametrize("kind", ["pt", "np", TensorType.PYTORCH])
@pytest.mark.parametrize("side", ["left", "right"])
def test_tensors(shared_tokenizers, expect_same, texts, pairs, kind, side):
    ours, theirs = shared_tokenizers[False]
    options = dict(padding=PaddingStrategy.LONGEST, padding_side=side, return_tensors=kind)
    options |= dict(truncation=TruncationStrategy.ONLY_FIRST, max_length=24, return_overflowing_tokens=True)
    options |= dict(stride=2, return_offsets_mapping=True, return_special_tokens_mask=True)
    texts[1] = texts[1] or "a"
    expect_same(ours(texts, pairs, **options), theirs(texts, pairs, **options))
    expect_same(ours(texts[0], pairs[0], **options), theirs(texts[0], pairs[0], **options))


def test_targets(shared_tokenizers, expect_same):
    ours, theirs = shared_tokenizers[False]
    for options in (
        dict(text=["a b", "c"], text_target=["d", "e f"], padding=True, return_tensors="pt"),
        dict(text_target="d", text_pair_target="e"),
        dict(text="a", text_pair="b", text_target="d"),
    ):
        expect_same(ours(**options), theirs(**options))
    with pytest.raises(InputError, match="neither text nor text_target"):
        ours()


def test_options_in_their_places(shared_tokenizers, expect_same):
    ours, theirs = shared_tokenizers[False]
    places = ("a b c d", "e f", None, None, True, "max_length", "only_first", 5, 1)
    expect_same(ours(*places), theirs(*places))
    places = ("a b c d", "e f", True, "max_length", "only_first", 5, 1)
    expect_same(ours.encode_plus(*places), theirs.encode_plus(*places))
    assert ours.encode(*places) == theirs.encode(*places)
    batch = [("a b c d", "e f"), ("g", "h")]
    expect_same(ours.batch_encode_plus(batch, *places[2:]), theirs.batch_encode_plus(batch, *places[2:]))
    assert ours.tokenize("a</s>", "b", True) == theirs.tokenize("a</s>", "b", True)
    assert ours.encode(["a", "b"]) == theirs.encode(["a", "b"])  # a pair
    for name in ("__call__", "encode", "tokenize"):
        mine, other = (inspect.signature(getattr(cls, name)).parameters for cls in (BloomTokenizerFast, HF))
        named = [parameter for parameter in other if parameter not in ("kwargs", "self")]
        assert [parameter for parameter in mine if parameter in named] == named, name
        for parameter in named:
            assert mine[parameter].default == other[parameter].default, (name, parameter)


@pytest.mark.parametrize("length", [4, None])
def test_lengths_of_the_model(both, expect_same, length):
    ours, theirs = both(**({} if length is None else {"model_max_length": length}))
    assert ours.model_max_length == theirs.model_max_length
    assert ours.max_len_single_sentence == theirs.max_len_single_sentence
    assert ours.max_len_sentences_pair == theirs.max_len_sentences_pair
    for options in (
        {"truncation": True},
        {"padding": "max_length"},
        {"padding": "max_length", "truncation": True},
    ):
        expect_same(ours(["a b c d e f g h", "a"], **options), theirs(["a b c d e f g h", "a"], **options))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"truncation": True}, "without max_length"),
        ({"padding": "max_length"}, "without max_length"),
        ({"max_length": 2}, "Cutting to max_length=2"),
        ({"padding": True, "max_length": 2}, "does not use max_length"),
        ({}, r"11 pieces, more than the 3"),
    ],
)
def test_what_is_warned_of(both, options, message):
    ours, _ = both()
    if not options:
        ours.model_max_length = 3
    with pytest.warns(BloomWarning, match=message):
        ours("a b c d e f g h i j k", **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours("a b c d e f g h i j k", **options, verbose=False)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(truncation=True, max_length=3, stride=3), "stride"),
        (dict(truncation=True, max_length=3, stride=-1), "stride"),
        (dict(truncation="only_second", max_length=2), "only_second"),
        (dict(text_pair="e f g", truncation="only_first", max_length=4, stride=2), "stride"),
        (dict(truncation="some"), "Expected truncation"),
        (dict(padding=True, truncation=True, max_length=5, pad_to_multiple_of=2), "multiple"),
        (dict(return_tensors="tf"), "TensorFlow"),
        (dict(return_tensors="jax"), "JAX"),
        (dict(text_pair=["a"]), "Expected text"),
    ],
)
def test_what_does_not_fit(shared_tokenizers, options, message):
    with pytest.raises(InputError, match=message):
        shared_tokenizers[False][0]("a b c d", **options)
    assert shared_tokenizers[False][0].backend_tokenizer.truncation is None
    with pytest.raises(TypeError, match="return_tensor"):
        shared_tokenizers[False][0]("a", return_tensor="pt")


def test_no_token_to_pad_with(both):
    for tokenizer in both():
        tokenizer.pad_token = None
        with pytest.raises(ValueError, match="pad_token"):
            tokenizer(["a", "b c"], padding=True)
        tokenizer.pad_token = tokenizer.eos_token
        assert tokenizer(["a", "b c"], padding=True).input_ids[0][0] == 2


def test_sides_can_be_set(both, expect_same):
    ours, theirs = both()
    assert (ours.padding_side, ours.truncation_side) == ("left", "right")
    for tokenizer in (ours, theirs):
        tokenizer.padding_side, tokenizer.truncation_side = "right", "left"
    options = dict(padding=True, truncation=True, max_length=3)
    expect_same(ours(["a b c d", "e"], **options), theirs(["a b c d", "e"], **options))
    assert ours(["a b c d", "e"], **options)["input_ids"][1][-1] == 3


def test_deprecated_ways(shared_tokenizers, expect_same):
    ours, theirs = shared_tokenizers[False]
    arguments = dict(max_length=3, max_target_length=2, return_tensors="pt")
    made = [t.prepare_seq2seq_batch(["a b c d", "e"], ["f g h", "i"], **arguments) for t in (ours, theirs)]
    expect_same(*made)
    with pytest.warns(FutureWarning, match="text_target"), ours.as_target_tokenizer():
        assert ours("a").input_ids == theirs("a").input_ids
