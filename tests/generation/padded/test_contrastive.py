import torch

from spacy_bloom.generation.padded.contrastive import _least_alike


def test_the_least_alike_of_the_likely():
    context = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    tried = torch.tensor([[[2.0, 0.1], [-1.0, -1.0]]])
    likely, real = torch.tensor([[0.6, 0.4]]), torch.ones(1, 2)
    assert _least_alike(context, real, tried, likely, 0.0).tolist() == [0]
    assert _least_alike(context, real, tried, likely, 0.5).tolist() == [1]
    # What is padding is like nothing.
    near_padding = torch.tensor([[[1.0, -1.0], [-1.0, 2.0]]])
    assert _least_alike(context, torch.tensor([[0, 1]]), near_padding, likely, 0.5).tolist() == [0]


def test_nothing_of_what_was_tried_stays(language_model):
    ids = torch.tensor([[5, 6, 7]])
    options = dict(
        penalty_alpha=0.6, top_k=3, eos_token_id=None, return_dict_in_generate=True, max_new_tokens=4
    )
    past = language_model.generate(ids, **options).past_key_values
    assert past.length == 6 and past.batch == 1
