import pytest
from transformers import DisjunctiveConstraint, PhrasalConstraint

from spacy_bloom.errors import InputError
from spacy_bloom.generation.config import GenerationConfig
from spacy_bloom.generation.padded.forced_words import ForcedWord, Progress, forced_words

OURS = (ForcedWord([[5, 6, 7]]), ForcedWord([[8], [9, 1]]))
THEIRS = (PhrasalConstraint([5, 6, 7]), DisjunctiveConstraint([[8], [9, 1]]))


@pytest.mark.parametrize("words", [OURS, THEIRS], ids=["ours", "theirs"])
@pytest.mark.parametrize(
    "pieces, bank, following, complete",
    [
        ([], 0, [5, 8, 9], False),
        ([4, 5], 1, [6], False),
        ([5, 6, 4], 0, [8, 9, 5], False),  # begun anew, as the last one
        ([8], 3, [5], False),
        ([9], 2, [1], False),  # counted from the end of the longest
        ([5, 6, 7, 9, 1], 6, [], True),
        ([8, 5, 6, 7, 4, 4], 6, [], True),
    ],
)
def test_progress(words, pieces, bank, following, complete):
    progress = Progress(words, pieces)
    assert progress.all_there == complete and progress.advance() == following
    assert progress.bank == bank


def test_a_copy_is_not_shared():
    word = ForcedWord([[5, 6], [5, 7]])
    word.update(5)
    one, other = word.copy(stateful=True), word.copy(stateful=True)
    assert one.update(6) == (True, True, False) and other.update(7) == (True, True, False)
    assert word.advance() == [6, 7] and word.copy().advance() == [5]


def test_words_of_a_config():
    config = GenerationConfig(num_beams=2, force_words_ids=[[5, 6], [[7], [8, 9]]], constraints=[THEIRS[0]])
    assert [word.seqlen for word in forced_words(config)] == [3, 2, 2]
    with pytest.raises(InputError, match=r"none begins another, got \[5\]"):
        ForcedWord([[5], [5, 6]])
