import pytest
from tokenizers import Tokenizer

from spacy_bloom import BloomTokenizerFast
from spacy_bloom.errors import InputError
from spacy_bloom.generation.config import GenerationConfig
from spacy_bloom.generation.piece_bytes import PieceBytes
from spacy_bloom.generation.rows import Row
from spacy_bloom.generation.stopping import Stopping


@pytest.fixture(scope="module")
def tokenizer(tiny_tokenizer_json):
    return BloomTokenizerFast(Tokenizer.from_str(tiny_tokenizer_json))


def test_ends_and_lengths():
    stopping = Stopping(GenerationConfig(eos_token_id=[2, 7]))
    assert [stopping.reason(Row([2], [5] * n), 3) for n in (1, 2, 3)] == [None, None, "length"]
    assert stopping.reason(Row([2], [5, 7]), 3) == stopping.reason(Row([], [2]), 1) == "eos"


def test_time():
    now = [10.0]
    stopping = Stopping(GenerationConfig(max_time=2.5), clock=lambda: now[0])
    for seconds, reason in ((10.0, None), (12.4, None), (12.5, "time"), (99.0, "time")):
        now[0] = seconds
        assert stopping.reason(Row([], [5]), 9) == reason


@pytest.mark.parametrize("stop", ["the end", "é", "👩‍🚀", "\n\n", "d", "中文", " a b"])
def test_stop_strings_end_where_their_last_byte_is(tokenizer, stop):
    text = f"Many words stand before the en{stop}, and more after it 中 文."
    stopping = Stopping(GenerationConfig(stop_strings=["zzzzz", stop]), pieces=PieceBytes(tokenizer))
    pieces, bytes_of = tokenizer.encode(text), PieceBytes(tokenizer)
    for n in range(1, len(pieces) + 1):
        so_far = b"".join(bytes_of[piece] for piece in pieces[:n])
        last = len(bytes_of[pieces[n - 1]])
        end = stop.encode("utf8")
        ends_here = any(so_far[:i].endswith(end) for i in range(len(so_far) - last + 1, len(so_far) + 1))
        assert stopping.reason(Row([], pieces[:n]), 1000) == ("stop_string" if ends_here else None)


def test_a_prompt_is_no_part_of_a_stop_string(tokenizer):
    stopping = Stopping(GenerationConfig(stop_strings="ab"), pieces=PieceBytes(tokenizer))
    a, b = tokenizer.encode("a"), tokenizer.encode("b")
    assert stopping.reason(Row(a, b), 9) is None
    assert stopping.reason(Row([], a + b), 9) == "stop_string"


def test_stop_strings_need_a_tokenizer():
    with pytest.raises(InputError, match="tokenizer="):
        Stopping(GenerationConfig(stop_strings="x"))
