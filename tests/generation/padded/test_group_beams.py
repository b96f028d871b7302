import torch

from spacy_bloom.generation.padded.calling_forms import Rectangle
from spacy_bloom.generation.padded.group_beams import Diversity


def test_chosen_pieces_are_avoided_within_a_prompt():
    rectangle = Rectangle(torch.zeros(4, 1))
    diversity = Diversity(0.5, 4, 2, rectangle)
    rectangle.more = {"current_tokens": torch.tensor([2, 2, 0, 0, 1, 3, 0, 0]), "beam_group_idx": 1}
    found = diversity([], torch.zeros(4, 4))
    assert found.tolist() == [[0, 0, -1.0, 0]] * 2 + [[0, -0.5, 0, -0.5]] * 2
    rectangle.more["beam_group_idx"] = 0
    assert not diversity([], torch.zeros(4, 4)).any()


def test_groups_differ_more_with_a_larger_penalty(language_model):
    ids = torch.tensor([[5, 6, 7]])
    options = dict(num_beams=4, num_beam_groups=4, num_return_sequences=4, max_new_tokens=6)
    firsts = [
        len(set(language_model.generate(ids, diversity_penalty=penalty, **options)[:, 3].tolist()))
        for penalty in (1e-6, 1e5)
    ]
    assert firsts[0] < firsts[1] == 4
