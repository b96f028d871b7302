import pytest
import torch
from torch.nn import functional as F

from spacy_bloom.bloom.losses import IGNORED_LABEL, lm_loss, nll_, set_nll_


def make_inputs(n_pieces=23, vocab=37, hidden=8, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(n_pieces, hidden, generator=generator).to(dtype).requires_grad_()
    weight = torch.randn(vocab, hidden, generator=generator).to(dtype).requires_grad_()
    labels = torch.randint(vocab, (n_pieces,), generator=generator)
    return states, weight, labels


def grads(loss, *inputs, factor=3.0):
    return torch.autograd.grad(loss * factor, inputs)


@pytest.mark.parametrize("chunk_size", [1, 5, 23, 100])
@pytest.mark.parametrize("ignored", [[], [0, 7, 22], list(range(5))])
def test_loss_and_gradients_are_those_of_cross_entropy(chunk_size, ignored):
    hidden, weight, labels = make_inputs()
    labels[ignored] = IGNORED_LABEL
    expected = F.cross_entropy(hidden @ weight.T, labels, ignore_index=IGNORED_LABEL)
    loss = lm_loss(hidden, weight, labels, chunk_size=chunk_size)
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=1e-6)
    for found, wanted in zip(grads(loss, hidden, weight), grads(expected, hidden, weight), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)


def test_a_kept_graph_gives_the_same_gradients_again():
    hidden, weight, labels = make_inputs()
    loss = lm_loss(hidden, weight, labels, chunk_size=5)
    first = torch.autograd.grad(loss, (hidden, weight), retain_graph=True)
    kept = [g.clone() for g in first]
    second = torch.autograd.grad(loss * 2, (hidden, weight))
    for one, before, other in zip(first, kept, second, strict=True):
        assert torch.equal(one, before)
        torch.testing.assert_close(other, 2 * one)


def test_all_labels_ignored_gives_zero():
    hidden, weight, labels = make_inputs()
    loss = lm_loss(hidden, weight, torch.full_like(labels, IGNORED_LABEL), chunk_size=5)
    assert loss.item() == 0
    assert all((g == 0).all() for g in grads(loss, hidden, weight))


def test_no_pieces_give_zero():
    hidden, weight, labels = make_inputs(n_pieces=0)
    loss = lm_loss(hidden, weight, labels, chunk_size=5)
    assert loss.item() == 0
    assert all((g == 0).all() for g in grads(loss, hidden, weight))


def test_gradcheck():
    hidden, weight, labels = make_inputs(n_pieces=7, vocab=11, hidden=3, dtype=torch.float64)
    labels[2] = IGNORED_LABEL
    assert torch.autograd.gradcheck(lambda h, w: lm_loss(h, w, labels, chunk_size=3), (hidden, weight))


@pytest.mark.parametrize("frozen", [0, 1])
def test_gradient_of_one_input_alone(frozen):
    inputs = make_inputs()
    free = inputs[1 - frozen]
    expected = grads(lm_loss(*inputs, chunk_size=5), free)[0]
    inputs = [t.detach() if i == frozen else t for i, t in enumerate(inputs)]
    torch.testing.assert_close(grads(lm_loss(*inputs, chunk_size=5), free)[0], expected)


def test_tied_weight_gets_both_gradients():
    _, weight, labels = make_inputs()
    ids = labels.roll(1)
    expected = grads(F.cross_entropy(weight[ids] @ weight.T, labels), weight)[0]
    found = grads(lm_loss(weight[ids], weight, labels, chunk_size=5), weight)[0]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_sums_in_float32(dtype):
    hidden, weight, labels = make_inputs(n_pieces=300, vocab=64, dtype=dtype)
    loss = lm_loss(hidden, weight, labels, chunk_size=7)
    assert loss.dtype == torch.float32
    # The logits alone are rounded to half precision; softmax and sums are as exact as float32's.
    expected = F.cross_entropy((hidden @ weight.T).float(), labels)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
    for found, wanted in zip(grads(loss, hidden, weight), grads(expected, hidden, weight), strict=True):
        assert found.dtype == dtype
        torch.testing.assert_close(found, wanted, rtol=0.05, atol=0.002)


def test_logits_of_all_pieces_never_exist_at_once():
    hidden, weight, labels = make_inputs(n_pieces=64, vocab=50)
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            nonlocal largest
            result = function(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                largest = max(largest, result.numel())
            return result

    with Watch():
        lm_loss(hidden, weight, labels, chunk_size=4).backward()
    assert largest == max(weight.numel(), hidden.numel())


def test_nll_of_labels_and_of_sets():
    hidden, weight, labels = make_inputs()
    labels[3] = IGNORED_LABEL
    logits = (hidden @ weight.T).detach()
    expected = F.cross_entropy(logits, labels, ignore_index=IGNORED_LABEL, reduction="none")
    torch.testing.assert_close(nll_(logits.clone(), labels), expected)
    members = torch.zeros(37, dtype=torch.bool)
    members[[4, 9, 30]] = True
    expected = -logits.softmax(dim=1)[:, members].sum(dim=1).log()
    torch.testing.assert_close(set_nll_(logits.clone(), members), expected)
    assert (set_nll_(logits, torch.ones_like(members)) == 0).all()
