import numpy as np
import pytest
import torch

from spacy_bloom import BloomTokenizerFast
from spacy_bloom.conversion import proof
from spacy_bloom.conversion.proof import compare_encodings, read_batches
from spacy_bloom.errors import CheckpointError, InputError

TEXTS = ["The river", "a</s>b", "यह किताब", ""]


def test_texts_with_control_tokens_are_read_twice(tiny_tokenizer, monkeypatch):
    assert list(read_batches(tiny_tokenizer, TEXTS)) == [(True, TEXTS), (False, ["a</s>b"])]
    monkeypatch.setattr(proof, "CHUNK", 10)
    batches = list(read_batches(tiny_tokenizer, TEXTS))
    assert [text for as_data, batch in batches if as_data for text in batch] == TEXTS
    assert len([1 for as_data, _ in batches if as_data]) > 1


@pytest.mark.parametrize("texts", ["text", iter(TEXTS), [5], [None]])
def test_texts_that_are_not_read(tiny_tokenizer, texts):
    with pytest.raises(InputError, match="Expected text"):
        list(read_batches(tiny_tokenizer, texts))


def test_a_tokenizer_is_equal_to_itself(tiny_tokenizer):
    kept = np.arange(len(tiny_tokenizer))
    found, sample = compare_encodings(tiny_tokenizer, tiny_tokenizer, kept, TEXTS, exact=True, sample=[2])
    assert (found.n_texts, found.n_changed, found.n_bytes) == (4, 0, sum(len(t.encode()) for t in TEXTS))
    assert (
        found.n_pieces
        == found.new_n_pieces
        == sum(len(tiny_tokenizer.encode_plain([t])[0].ids) for t in TEXTS)
    )
    assert [ids.tolist() for ids in sample] == [tiny_tokenizer.encode_plain([TEXTS[2]])[0].ids]


def test_other_ids_are_found(tiny_tokenizer, tiny_checkpoint):
    shifted = np.roll(np.arange(len(tiny_tokenizer)), 1)
    other = BloomTokenizerFast.from_pretrained(tiny_checkpoint)
    with pytest.raises(CheckpointError, match="is encoded to other pieces: 'The river'"):
        compare_encodings(tiny_tokenizer, other, shifted, TEXTS, exact=True)
    found, _ = compare_encodings(tiny_tokenizer, other, shifted, TEXTS, exact=False)
    assert found.n_changed > 0


def test_a_difference_beyond_rounding():
    one = torch.tensor([[100.0, 1.0]])
    assert proof._difference(one, one + torch.tensor([[0.0, 5e-4]]), "logits") == pytest.approx(
        5e-4, rel=1e-2
    )
    for other in (one + 2e-3, one * float("nan")):
        with pytest.raises(CheckpointError, match="logits of the trimmed checkpoint differ by"):
            proof._difference(one, other, "logits")
