"""One pass gives what thinc's optimizer gives."""

import numpy
import pytest
import torch
from thinc.api import SGD, Adam, RAdam

from spacy_bloom.thinc_layers.weights.adam import optimize

OPTIMIZERS = {
    "plain": lambda: Adam(0.01),
    "clipped and decayed": lambda: Adam(0.02, L2=0.1, grad_clip=0.5),
    "not clipped": lambda: Adam(0.02, L2=0.1, grad_clip=1e6, eps=1e-3),
    "L2 in the gradient": lambda: Adam(0.02, L2=0.1, L2_is_weight_decay=False),
    "averages": lambda: Adam(0.02, use_averages=True),
    "RAdam": lambda: RAdam(0.02),
    "SGD": lambda: SGD(0.02),
}


def gradients(n, shape=(40, 16)):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator) * 10.0 ** (i - 2) for i in range(n)]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_equals_thincs_own(name):
    ours, theirs = OPTIMIZERS[name](), OPTIMIZERS[name]()
    weight = torch.randn(40, 16, generator=torch.Generator().manual_seed(1))
    array = weight.clone().numpy()
    for i, gradient in enumerate(gradients(5)):
        rate = 1.0 - 0.1 * i
        weight = optimize(ours, (1, "w"), weight, gradient.clone(), rate)
        array, _ = theirs((1, "w"), array, gradient.clone().numpy(), lr_scale=rate)
        ours.step_schedules(), theirs.step_schedules()
        numpy.testing.assert_allclose(weight.numpy(), array, rtol=2e-5, atol=2e-6)
    assert ours.nr_update == theirs.nr_update
    for one, other in ((ours.mom1, theirs.mom1), (ours.mom2, theirs.mom2), (ours.averages, theirs.averages)):
        for key in other or {}:
            numpy.testing.assert_allclose(
                one[key].reshape(-1), other[key].reshape(-1), rtol=2e-5, atol=2e-5 * abs(other[key]).max()
            )


def test_works_in_place():
    optimizer, weight, gradient = Adam(0.01), torch.ones(3, 4), torch.ones(3, 4)
    assert optimize(optimizer, (1, "w"), weight, gradient, 1.0) is weight
    assert (weight != 1.0).all()


def sparse(rows, values, n_rows=40):
    return torch.sparse_coo_tensor(torch.tensor([rows]), values, (n_rows, values.shape[1]))


def test_a_sparse_gradient_changes_its_rows_alone_and_as_a_dense_one_would():
    weight = torch.randn(40, 16, generator=torch.Generator().manual_seed(1))
    whole, values = weight.clone(), torch.randn(4, 16)
    dense = torch.zeros(40, 16).index_add_(0, torch.tensor([3, 7, 7, 30]), values)
    optimize(Adam(0.02, L2=0.1, grad_clip=0.5), (1, "w"), whole, dense, 0.5)
    before = weight.clone()
    optimize(Adam(0.02, L2=0.1, grad_clip=0.5), (1, "w"), weight, sparse([3, 7, 7, 30], values), 0.5)
    touched = torch.tensor([3, 7, 30])
    torch.testing.assert_close(weight[touched], whole[touched])
    rest = torch.ones(40, dtype=torch.bool)
    rest[touched] = False
    assert torch.equal(weight[rest], before[rest])


def test_moments_of_rows_go_on_from_step_to_step():
    one, other = Adam(0.02), Adam(0.02)
    weight = torch.randn(40, 16, generator=torch.Generator().manual_seed(1))
    part = weight[[5, 9]].clone()
    for gradient in gradients(4, (2, 16)):
        optimize(one, (1, "w"), weight, sparse([5, 9], gradient), 1.0)
        optimize(other, (1, "w"), part, gradient, 1.0)
    torch.testing.assert_close(weight[[5, 9]], part)


@pytest.mark.parametrize("make", [RAdam, SGD])
def test_other_optimizers_take_a_sparse_gradient_as_a_dense_one(make):
    weight, values = torch.ones(40, 16), torch.randn(2, 16)
    other = weight.clone()
    weight = optimize(make(0.02), (1, "w"), weight, sparse([1, 2], values), 1.0)
    other = optimize(make(0.02), (1, "w"), other, sparse([1, 2], values).to_dense(), 1.0)
    assert torch.equal(weight, other) and (weight[1] != 1).all()
