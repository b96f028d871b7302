import torch


def test_ended_rows_are_filled_up_only_if_pieces_end_rows(language_model):
    ids = torch.tensor([[5, 6, 7], [8, 9, 10]])
    free = language_model.generate(ids, max_new_tokens=6, eos_token_id=None)
    stop = int(free[0, 4])
    criteria = [lambda ids, scores: ids[:, -1] == stop]
    options = dict(max_new_tokens=6, stopping_criteria=criteria)
    assert torch.equal(language_model.generate(ids, eos_token_id=None, **options), free)
    filled = language_model.generate(ids, eos_token_id=96, pad_token_id=3, **options)
    end = free[0].tolist().index(stop, 3) + 1
    assert filled[0, :end].tolist() == free[0, :end].tolist() and (filled[0, end:] == 3).all()


def test_drawn_pieces_do_not_depend_on_the_steps_that_are_kept(language_model):
    ids = torch.tensor([[5, 6, 7], [8, 9, 10]])
    options = dict(max_new_tokens=6, do_sample=True, seed=[3, 4], num_return_sequences=2)
    kept = language_model.generate(ids, return_dict_in_generate=True, output_scores=True, **options)
    assert torch.equal(kept.sequences, language_model.generate(ids, **options))
    assert kept.scores[0].shape == (4, 97)
