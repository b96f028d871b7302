"""Every way of a product gives the same numbers, and the fast ones stay out of what they are not for."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from spacy_bloom import BloomConfig, BloomForCausalLM
from spacy_bloom.bloom.product import WAYS, has_few_row_kernel, product, takes_few_rows

WIDE, FLAT, HEAD = (12288, 256), (256, 12288), (2**15, 96)
CHOICE = "spacy_bloom.bloom.product.instructions"


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def in_float64(inner, weight, bias):
    return F.linear(inner.double(), weight.double(), None if bias is None else bias.double())


@pytest.mark.parametrize("shape", [WIDE, FLAT, HEAD, (64, 32), (12287, 256)])
@pytest.mark.parametrize("leading", [(1,), (2,), (3, 1), (4,), (2, 4), (11,), (2, 3, 4), (96,), (97,), (0,)])
def test_all_ways_agree_with_float64(shape, leading, monkeypatch):
    weight, inner = draw(*shape), draw(*leading, shape[1], seed=1)
    for bias in (None, draw(shape[0], seed=2)):
        expected = in_float64(inner, weight, bias)
        for kind in WAYS if has_few_row_kernel() else ["torch's own"]:
            if has_few_row_kernel():
                monkeypatch.setattr(CHOICE, lambda kind=kind: kind)
            with torch.no_grad():
                found = product(inner, weight, bias)
            assert found.shape == expected.shape and found.is_contiguous() and found.dtype == torch.float32
            bound = 2e-6 * shape[1] ** 0.5 * 4
            say = f"{kind}: {{}}".format
            torch.testing.assert_close(found.double(), expected, rtol=0, atol=bound, msg=say)


@pytest.mark.skipif(not has_few_row_kernel(), reason="no other way than torch's on this CPU")
@pytest.mark.parametrize(
    ("kind", "few", "many"), [("AVX2", 1, 2048), ("AVX512", 4, 96), ("AVX512 of AMD", 1, 96)]
)
def test_few_rows_take_another_way_than_torchs(kind, few, many, monkeypatch):
    monkeypatch.setattr(CHOICE, lambda: kind)
    weight = draw(WAYS[kind].min_elements // 256, 256)
    with torch.no_grad():
        rows = (0, few - 1, few, 8, many, many + 1)
        taken = [takes_few_rows(draw(n, 256), weight) for n in rows]
        assert taken == [False, False, True, True, True, False]
        assert not takes_few_rows(draw(8, 256), weight[:64])
        assert not takes_few_rows(draw(8, len(weight)), weight.T)  # not as it is in memory
        assert not takes_few_rows(draw(8, 256).double(), weight.double())
    assert not takes_few_rows(draw(8, 256), weight)  # gradients


def test_strided_rows_are_taken_as_they_are():
    weight, inner = draw(*WIDE), draw(256, 5, 3).transpose(0, 2)  # (3, 5, 256)
    with torch.no_grad():
        found = product(inner, weight)
    torch.testing.assert_close(found, F.linear(inner, weight), rtol=0, atol=1e-4)


def test_gradients_are_torchs():
    weight, inner = draw(*WIDE).requires_grad_(), draw(3, 256).requires_grad_()
    product(inner, weight).sum().backward()
    torch.testing.assert_close(weight.grad, inner.detach().sum(0).expand_as(weight))
    assert inner.grad is not None


def test_autocast_decides_the_dtype():
    weight, inner = draw(*WIDE), draw(3, 256)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert product(inner, weight).dtype == torch.bfloat16


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 9])
def test_a_model_gives_the_same_logits_by_all_ways(rows, monkeypatch):
    torch.manual_seed(0)
    config = BloomConfig(vocab_size=90, hidden_size=32, n_layer=2, n_head=4, initializer_range=0.3)
    model = BloomForCausalLM(config).eval()
    ids = torch.randint(90, (rows, 6))

    def logits():
        with torch.inference_mode():
            past = model(ids[:, :5], use_cache=True).past_key_values
            return model(ids[:, 5:], past_key_values=past).logits

    expected = logits()
    everything = {kind: replace(ways, min_elements=1, rows=range(1, 97)) for kind, ways in WAYS.items()}
    monkeypatch.setattr("spacy_bloom.bloom.product.WAYS", everything)
    torch.testing.assert_close(logits(), expected, rtol=1e-5, atol=1e-5)
