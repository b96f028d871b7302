import json

import numpy
import pytest

from spacy_bloom.errors import ConfigError
from spacy_bloom.pretraining.tokenizer_training import (
    TokenizerConfig,
    new_tokenizer,
    sampling_rates,
    train_tokenizer,
)

FILES = [
    ["The cat sat on the mat, and the cat slept.", "The dog saw the cat."] * 20,
    ["नमस्ते दुनिया। बिल्ली सो रही है।", "你好，世界。猫在睡觉。"] * 3,
]


def train(vocab_size=320, *, alpha=0.5, seed=0, files=FILES):
    config = TokenizerConfig(vocab_size=vocab_size, min_frequency=1, alpha=alpha)
    return train_tokenizer(files, config, seed=seed)


def test_special_tokens_and_bytes_come_first():
    tokenizer = train()
    assert [tokenizer.id_to_token(i) for i in range(4)] == ["<unk>", "<s>", "</s>", "<pad>"]
    alphabet = [tokenizer.id_to_token(i) for i in range(4, 260)]
    assert len(set(alphabet)) == 256 and all(len(piece) == 1 for piece in alphabet)
    assert tokenizer.get_vocab_size() == 320


@pytest.mark.parametrize(
    "text", ["the cat", " \t\n ", "</s> <pad>", "日本語 ελληνικά 🐈‍⬛", "é\u0301\x00", "|।۔"]
)
def test_any_text_survives(text):
    tokenizer = train()
    tokenizer.encode_special_tokens = True
    encoded = tokenizer.encode(text)
    assert min(encoded.ids) >= 4
    assert tokenizer.decode(encoded.ids) == text


def test_words_are_cut_as_bloom_cuts_them():
    words = new_tokenizer().pre_tokenizer.pre_tokenize_str("Hello, world|नमस्ते। x  y")
    starts = [start for _, (start, _) in words]
    # Punctuation, a bar and all but the last of several spaces stand alone; a space joins the next word.
    assert starts == [0, 5, 6, 12, 13, 19, 20, 22, 23]


def test_components_are_blooms():
    state = json.loads(new_tokenizer().to_str())
    split, byte_level = state["pre_tokenizer"]["pretokenizers"]
    assert split["pattern"] == {"Regex": " ?[^(\\s|[.,!?…。，、।۔،])]+"}
    assert (split["behavior"], split["invert"]) == ("Isolated", False)
    names = ("type", "add_prefix_space", "trim_offsets", "use_regex")
    assert tuple(byte_level[n] for n in names) == ("ByteLevel", False, True, False)
    # What `use_regex` says of a post-processor depends on the version of tokenizers, and means nothing there.
    assert tuple(state["post_processor"][n] for n in names[:3]) == ("ByteLevel", True, False)
    assert state["decoder"]["type"] == "ByteLevel"
    assert state["normalizer"] is None


def test_training_is_deterministic():
    assert train(seed=1).to_str() == train(seed=1).to_str()


def test_alpha_gives_small_files_their_share():
    big, small = FILES[0] * 20, FILES[1]
    lengths = [
        len(train(alpha=a, vocab_size=300, files=[big, small]).encode(small[0]).ids) for a in (1.0, 0.0)
    ]
    assert lengths[1] < lengths[0]


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
def test_sampling_rates(alpha):
    sizes = numpy.array([10.0, 1000.0, 100000.0])
    rates = sampling_rates(sizes, alpha)
    shares = rates * sizes / (rates * sizes).sum()
    numpy.testing.assert_allclose(shares, sizes**alpha / (sizes**alpha).sum())
    numpy.testing.assert_allclose((rates * sizes).sum(), sizes.sum())
    if alpha == 1:
        numpy.testing.assert_allclose(rates, 1)


@pytest.mark.parametrize("values", [{"vocab_size": 259}, {"alpha": 1.5}, {"min_frequency": -1}])
def test_config_out_of_range(values):
    with pytest.raises(ConfigError, match=next(iter(values))):
        TokenizerConfig(**{"vocab_size": 300, **values})
