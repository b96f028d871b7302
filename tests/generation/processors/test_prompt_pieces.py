import torch

from spacy_bloom.generation.processors.prompt_pieces import NoPromptNGram, PromptBonus
from spacy_bloom.generation.rows import Row


def test_pieces_of_the_prompt_become_likely():
    scores = torch.tensor([[1.0, -1.0, 1.0, -1.0]])
    assert PromptBonus(2.0)([Row([0, 1], [2, 3])], scores).tolist() == [[2.0, -0.5, 1.0, -1.0]]


def test_the_prompts_sequences_are_not_taken():
    rows = [Row([5, 6, 7], []), Row([5, 6, 7], [6]), Row([5, 6, 7], [1, 2, 1])]
    found = NoPromptNGram(2)(rows, torch.zeros(3, 8))
    assert found.isneginf().nonzero().tolist() == [[1, 7]]
