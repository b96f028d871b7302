import pytest
import torch

from spacy_bloom.generation.padded.forced_beams import _by_turns


def test_banks_take_turns():
    assert _by_turns([0, 0, 2, 2, 1], [-1.0, -2.0, -5.0, -4.0, -3.0]) == [3, 4, 0, 2, 1]


@pytest.mark.parametrize("words", [[[40, 41]], [[40], [50, 51]], [[[40, 41], [60]]]], ids=str)
def test_words_are_there(language_model, words):
    found = language_model.generate(
        torch.tensor([[5, 6, 7], [8, 9, 10]]), num_beams=5, force_words_ids=words, max_new_tokens=14
    )
    for row in found.tolist():
        text = " ".join(map(str, row))
        for word in words:
            choices = word if isinstance(word[0], list) else [word]
            assert any(" ".join(map(str, choice)) in text for choice in choices)
