from itertools import islice

import torch

from spacy_bloom.pretraining.engine import OneProcess, seed_batch


def test_batches_after_the_first_have_seeds_of_their_own():
    torch.manual_seed(5)
    first = torch.rand(3)
    seed_batch(5, 0)  # goes on
    assert not torch.equal(torch.rand(3), first)
    drawn = []
    for number in (1, 2, 1):
        seed_batch(5, number)
        drawn.append(torch.rand(3))
    assert torch.equal(drawn[0], drawn[2]) and not torch.equal(drawn[0], drawn[1])


def test_one_process_agrees_with_itself(make_model):
    assert OneProcess(make_model()).agree(3.5, False) == (3.5, False)


def test_a_step_of_one_batch_draws_what_it_always_drew(make_model, make_trainer, files, tmp_path):
    """Runs that were started by older versions go on in the same bits."""
    dropout = {"hidden_dropout": 0.3}
    trainer = make_trainer(files, tmp_path, make_model(**dropout), seed=4)
    batch, _, _ = trainer.batches.take(0, 0)
    list(islice(trainer.train(), 2))  # one evaluation, one step
    model = make_model(**dropout).train()
    torch.manual_seed(4)
    OneProcess(model).learn([(batch, 1.0)], bidirectional_layers=0, seed=4)
    other = make_trainer(files, tmp_path / "other", model, seed=4)
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in other.optimizers:
        optimizer.step()
    for one, expected in zip(trainer.model.parameters(), model.parameters(), strict=True):
        assert torch.allclose(one, expected, atol=1e-7)
