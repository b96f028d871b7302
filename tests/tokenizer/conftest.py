import pytest
import transformers

from spacy_bloom import BloomTokenizerFast, bundled_path

# Arabic, Hindi, Chinese, emoji, combining marks, control tokens, spaces, nothing.
TEXTS = [
    "The quick brown fox</s>",
    "",
    " ",
    "النهر مرتفع في الربيع، أليس كذلك؟",
    "नदी ऊँची थी। क्षत्रिय ज़",
    "今天天气很好。",
    "🏳️‍🌈👩‍👩‍👧‍👦 e\u0301 \u200b\ufeff",
    "  two  spaces\t\n lines \r\n",
    "a <pad><s> <unk> b",
]
PAIRS = ["jumps over the lazy dog", "é", "b c d", "", "हाँ", "对", "👍", " x", "</s>"]


@pytest.fixture
def texts():
    return list(TEXTS)


@pytest.fixture
def pairs():
    return list(PAIRS)


@pytest.fixture(scope="session")
def tiny_files():
    return str(bundled_path("tiny-bloom"))


@pytest.fixture(scope="session")
def shared_tokenizers(tiny_files):
    """Ours and Hugging Face's of the bundled checkpoint, and both that take words. Use them, do not change them."""
    made = {}
    for words in (False, True):
        options = {"add_prefix_space": words}
        made[words] = (
            BloomTokenizerFast.from_pretrained(tiny_files, **options),
            transformers.BloomTokenizerFast.from_pretrained(tiny_files, **options),
        )
    return made


@pytest.fixture
def both(tiny_files):
    """A function that loads ours and Hugging Face's of the bundled checkpoint, to be changed."""

    def load(**options):
        return (
            BloomTokenizerFast.from_pretrained(tiny_files, **options),
            transformers.BloomTokenizerFast.from_pretrained(tiny_files, **options),
        )

    return load


@pytest.fixture(scope="session")
def expect_same():
    """A function that compares two encodings: fields in their order, types and numbers, and the rows behind them."""

    def plain(value):
        return value.tolist() if hasattr(value, "tolist") else value

    def compare(ours, theirs):
        assert list(ours) == list(theirs)
        for name in theirs:
            assert type(ours[name]) is type(theirs[name]), name
            assert plain(ours[name]) == plain(theirs[name]), name
        assert ours.n_sequences == theirs.n_sequences and ours.is_fast == theirs.is_fast
        for mine, other in zip(ours.encodings or [], theirs.encodings or [], strict=True):
            assert (mine.ids, mine.tokens, mine.offsets) == (other.ids, other.tokens, other.offsets)
            assert (mine.sequence_ids, mine.word_ids) == (other.sequence_ids, other.word_ids)

    return compare
