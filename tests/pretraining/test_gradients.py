import pytest
import torch

from spacy_bloom.pretraining.gradients import add_gradients


@pytest.mark.parametrize("options", [{}, {"tie_word_embeddings": False}])
@pytest.mark.parametrize("frozen", [False, True])
def test_gradients_are_those_of_the_plain_loss_and_add_up(make_model, options, frozen):
    model = make_model(**options).train()
    model.transformer.word_embeddings.weight.requires_grad_(not frozen)
    ids, labels = torch.randint(3, 200, (9,)), torch.randint(3, 200, (9,))
    ids[3], labels[2] = ids[0], -100  # a row read twice, and a place without a label
    free = {name: p for name, p in model.named_parameters() if p.requires_grad}
    logits = model.lm_head(model.transformer.encode_packed(ids, [4, 5]))
    loss = torch.nn.functional.cross_entropy(logits, labels)
    expected = torch.autograd.grad(loss, list(free.values()))
    for times in (1.0, 1.5):  # the second call adds half of the gradients to the first's
        found = add_gradients(model, ids, labels, [4, 5], 1.0 if times == 1 else 0.5)
        assert found == pytest.approx(loss.item() * (1.0 if times == 1 else 0.5), rel=1e-5)
        for parameter, gradient in zip(free.values(), expected, strict=True):
            torch.testing.assert_close(parameter.grad, times * gradient, rtol=1e-4, atol=1e-6)
    assert frozen or model.transformer.word_embeddings.weight.grad.layout == torch.strided
