import pytest
import torch
from torch import nn

from spacy_bloom.finetuning.optimizer_step import OptimizerStep


def descend(name, weight, gradient, factor):
    assert weight.dtype == gradient.dtype == torch.float32
    return weight - factor * gradient


def weight_of(value, gradient, dtype=torch.float32):
    weight = nn.Parameter(torch.full((3,), value, dtype=dtype))
    if gradient is not None:
        weight.grad = torch.full((3,), gradient, dtype=dtype)
    return weight


def test_each_weight_has_its_own_rate():
    fast, slow, still = weight_of(1.0, 0.5), weight_of(1.0, 0.5), weight_of(1.0, None)
    OptimizerStep()([("fast", fast, 1.0), ("slow", slow, 0.1), ("still", still, 1.0)], descend)
    assert [float(w.data[0]) for w in (fast, slow, still)] == pytest.approx([0.5, 0.95, 1.0])
    assert fast.grad is slow.grad is still.grad is None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_changes_too_small_for_the_dtype_add_up(dtype):
    """1.0 - 1e-4 rounds to 1.0 in both; a hundred of them do not."""
    step, weight = OptimizerStep(), weight_of(1.0, None, dtype)
    seen = []
    for _ in range(100):
        weight.grad = torch.full((3,), 1e-4, dtype=dtype)
        step([("w", weight, 1.0)], descend)
        seen.append(float(weight.data[0]))
    assert weight.dtype == dtype and seen[0] == 1.0
    assert seen[-1] == pytest.approx(0.99, abs=5e-3)


def test_names_tell_weights_apart():
    step, one, other = (
        OptimizerStep(),
        weight_of(1.0, 1.0, torch.bfloat16),
        weight_of(8.0, 1.0, torch.bfloat16),
    )
    step([("one", one, 1.0), ("other", other, 1.0)], descend)
    assert (float(one.data[0]), float(other.data[0])) == (0.0, 7.0)
