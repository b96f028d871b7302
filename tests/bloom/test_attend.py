import math

import pytest
import torch

from spacy_bloom.bloom.alibi import alibi_slopes, causal_alibi
from spacy_bloom.bloom.attend import attend, attend_with_weights, rounded_bias


def draw(queries, keys, *, batch=2, n_head=3, head_dim=8, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = (queries, keys, keys)
    return [torch.randn(batch, n_head, n, head_dim, generator=generator).to(dtype) for n in shapes]


def bias_of(queries, keys, n_head=3):
    return causal_alibi(alibi_slopes(n_head), keys)[None, :, keys - queries :]  # (1, n_head, queries, keys)


def in_float64(query, key, value, bias):
    scores = query.double() @ key.double().transpose(-1, -2) / math.sqrt(query.shape[-1])
    return (scores + bias.double()).softmax(-1) @ value.double()


@pytest.mark.parametrize("queries, keys", [(1, 1), (5, 5), (2, 9), (1, 40)])
def test_both_ways_agree_with_the_formula(queries, keys):
    query, key, value = draw(queries, keys)
    bias = bias_of(queries, keys)
    expected = in_float64(query, key, value, bias)
    context, weights = attend_with_weights(query, key, value, bias)
    assert context.shape == query.shape and weights.shape == (2, 3, queries, keys)
    torch.testing.assert_close(context.double(), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(attend(query, key, value, bias).double(), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, queries))


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("queries, keys", [(1, 1), (1, 300), (7, 7), (128, 128), (129, 129)])
def test_short_and_long_sequences_agree_with_the_formula_without_gradients(batch, queries, keys):
    fused = torch.randn(batch, keys, 3, 4, 16, generator=torch.Generator().manual_seed(0))
    query, key, value = (
        x.transpose(1, 2) for x in fused.unbind(2)
    )  # strided, as a fused projection gives them
    query = query[:, :, keys - queries :]
    bias = bias_of(queries, keys, n_head=4)
    with torch.no_grad():
        found = attend(query, key, value, bias)
    torch.testing.assert_close(found.double(), in_float64(query, key, value, bias), rtol=0, atol=1e-6)


def test_a_row_that_may_attend_to_nothing_stays_finite():
    query, key, value = draw(3, 3)
    bias = torch.full((1, 3, 3, 3), torch.finfo(torch.float32).min)
    with torch.no_grad():
        found = attend(query, key, value, bias)
    torch.testing.assert_close(found, value.mean(dim=2, keepdim=True).expand_as(found))


def test_gradients_of_both_ways_agree():
    grads = []
    for function in (attend, lambda *args: attend_with_weights(*args)[0]):
        tensors = [t.requires_grad_() for t in draw(6, 6)]
        (function(*tensors, bias_of(6, 6)) * torch.arange(8.0)).sum().backward()
        grads.append([t.grad for t in tensors])
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_the_bias_whole(dtype):
    # Scores are all equal, so that the bias alone decides: position 900 must weigh exp(slope) more than 899.
    query, key, value = (torch.zeros_like(t) for t in draw(1, 1000, dtype=dtype))
    context, weights = attend_with_weights(query, key, value, bias_of(1, 1000))
    assert context.dtype == weights.dtype == dtype
    expected = bias_of(1, 1000).softmax(-1).expand(2, 3, 1, 1000)
    torch.testing.assert_close(weights.float(), expected, rtol=torch.finfo(dtype).eps, atol=1e-6)
    assert attend(query, key, value, bias_of(1, 1000)).dtype == dtype


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_close(dtype):
    query, key, value = draw(50, 50, dtype=dtype)
    expected = in_float64(query, key, value, bias_of(50, 50))
    gap = (attend(query, key, value, bias_of(50, 50)).double() - expected).abs().max()
    assert gap < 2 * torch.finfo(dtype).eps * expected.abs().max()


@pytest.mark.parametrize("length", [1, 40, 256, 257])
def test_gradients_in_half_precision_stay_close(length):
    tensors = [t.requires_grad_() for t in draw(length, length, dtype=torch.bfloat16)]
    exact = [t.detach().double().requires_grad_() for t in tensors]
    bias, upstream = bias_of(length, length), draw(length, length)[0]
    (attend(*tensors, bias) * upstream).sum().backward()
    (in_float64(*exact, bias) * upstream).sum().backward()
    for found, expected in zip(tensors, exact, strict=True):
        scale = expected.grad.norm().clamp_min(1e-6)
        assert (found.grad.double() - expected.grad).norm() / scale < 0.02


def test_dropout_in_half_precision_zeroes_weights():
    query, key, value = (t.requires_grad_() for t in draw(30, 30, dtype=torch.bfloat16))
    torch.manual_seed(0)
    dropped = [attend(query, key, value, bias_of(30, 30), 0.5) for _ in range(400)]
    expected = attend(query, key, value, bias_of(30, 30))
    assert not torch.equal(dropped[0], expected)
    torch.testing.assert_close(torch.stack(dropped).float().mean(0), expected.float(), rtol=0, atol=0.3)


def test_dropout_zeroes_and_rescales_weights():
    query, key, value = draw(30, 30)
    bias = torch.zeros(1, 3, 30, 30)
    torch.manual_seed(0)
    context, weights = attend_with_weights(query, key, value, bias, 0.5)
    kept = weights != 0
    assert 0.4 < kept.float().mean() < 0.6
    plain = attend_with_weights(query, key, value, bias)[1]
    torch.testing.assert_close(weights[kept], 2 * plain[kept])
    torch.testing.assert_close(context, weights @ value)
    assert not torch.equal(attend(query, key, value, bias, 0.5), attend(query, key, value, bias))


def error_of(found, exact):
    return ((found.double() - exact).norm() / exact.norm()).item()


def as_hugging_face(query, key, value):
    """Its bias counts from the first piece, in the dtype of the model."""
    dtype, keys = query.dtype, key.shape[-2]
    places = torch.arange(keys, dtype=torch.float32).to(dtype)
    bias = SLOPES.to(dtype)[:, None, None] * places  # (n_head, 1, keys)
    scores = bias + (query @ key.transpose(-1, -2)) / math.sqrt(query.shape[-1])
    future = causal_alibi(SLOPES, keys)[:, -query.shape[-2] :].isneginf()
    scores = scores.masked_fill(future, torch.finfo(dtype).min)
    return scores.float().softmax(-1).to(dtype) @ value


SLOPES = alibi_slopes(16)[::5]  # steep and flat ones


@pytest.mark.parametrize("dtype, bound", [(torch.bfloat16, 0.005), (torch.float16, 0.0007)])
def test_half_precision_does_not_grow_worse_with_the_length(dtype, bound):
    errors, of_hugging_face = [], []
    for keys in (128, 512, 2048):
        query, key, value = draw(128, keys, batch=1, n_head=len(SLOPES), head_dim=64, dtype=dtype)
        bias = causal_alibi(SLOPES, keys)[None, :, keys - 128 :]
        exact = in_float64(query, key, value, bias)
        errors.append(error_of(attend(query, key, value, bias), exact))
        of_hugging_face.append(error_of(as_hugging_face(query, key, value), exact))
    assert max(errors) < bound and errors[2] < 1.2 * errors[0]
    assert of_hugging_face[2] > 5 * errors[2]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_rounded_bias_masks_without_ruling_out(dtype):
    lowest = torch.finfo(torch.float32).min
    bias = torch.tensor([0.0, -3.0, lowest, float("-inf")])
    assert rounded_bias(bias, dtype).tolist() == [0.0, -3.0, torch.finfo(dtype).min, float("-inf")]
    for same in (torch.float32, torch.float64):
        assert rounded_bias(bias, same) is bias
    query, key, value = draw(3, 3, dtype=dtype)
    assert attend(query, key, value, torch.full((1, 3, 3, 3), lowest)).isfinite().all()
