import torch


def test_scores_are_those_of_the_pieces(language_model):
    ids = torch.tensor([[5, 6, 7], [8, 9, 10]])
    options = dict(
        num_beams=3, num_return_sequences=3, max_new_tokens=6, eos_token_id=None, length_penalty=0.5
    )
    out = language_model.generate(ids, return_dict_in_generate=True, output_scores=True, **options)
    chosen = language_model.compute_transition_scores(out.sequences, out.scores, out.beam_indices)
    torch.testing.assert_close(chosen.sum(1) / 6**0.5, out.sequences_scores)
    with torch.no_grad():
        logits = language_model(out.sequences).logits[:, 2:-1].log_softmax(-1)
    picked = logits.gather(2, out.sequences[:, 3:, None])[..., 0]
    torch.testing.assert_close(picked, chosen, atol=1e-4, rtol=1e-4)


def test_sampled_beams_do_not_depend_on_the_batch(language_model):
    ids = torch.tensor([[5, 6, 7], [8, 9, 10]])
    options = dict(num_beams=3, do_sample=True, seed=3, max_new_tokens=6, return_dict_in_generate=True)
    together = language_model.generate(ids, eos_token_id=None, **options).sequences
    alone = language_model.generate(ids[1:], eos_token_id=None, **options).sequences
    assert torch.equal(together[1:], alone)
