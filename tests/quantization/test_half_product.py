import pytest
import torch

from spacy_bloom.quantization.half_product import half_product, has_half_kernel, pack_half

DTYPES = [torch.float16, torch.bfloat16]


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [0, 1, 2, 3, 8, 70])
@pytest.mark.parametrize("has_kernel", [True, False])
def test_is_exact_up_to_float32(dtype, rows, has_kernel):
    weight, inner = (draw(130, 384) * 0.02).to(dtype), draw(rows, 384, seed=1)
    found = half_product(inner, weight, pack_half(weight) if has_kernel else None)
    exact = inner.double() @ weight.double().T
    assert found.shape == (rows, 130) and found.dtype == torch.float32
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=2e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_large_weight_is_packed_in_parts(dtype, monkeypatch):
    weight, inner = (draw(130, 384) * 0.02).to(dtype), draw(3, 384, seed=1)
    whole = half_product(inner, weight, pack_half(weight))
    monkeypatch.setattr("spacy_bloom.quantization.half_product.PACKED_ELEMENTS", 50 * 384)
    packed = pack_half(weight)
    assert packed is None or len(packed.parts) == 3
    torch.testing.assert_close(half_product(inner, weight, packed), whole)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_of_any_size_keep_their_precision(dtype):
    sizes = torch.tensor([3e4, 1.0, 1e-3, 0.0] if dtype == torch.float16 else [1e30, 1.0, 1e-20, 0.0])
    weight, inner = (draw(4, 256).clamp(-2, 2) * sizes[:, None]).to(dtype), draw(5, 256, seed=1)
    found = half_product(inner, weight, pack_half(weight)).double()
    exact = inner.double() @ weight.double().T
    torch.testing.assert_close(
        found / sizes.clamp(min=1e-30), exact / sizes.clamp(min=1e-30), rtol=0, atol=3e-5
    )


@pytest.mark.skipif(not has_half_kernel(), reason="this build of torch has no such kernel")
def test_activations_are_not_rounded():
    weight = torch.ones(64, 64).half()
    inner = torch.zeros(2, 64)
    inner[0, 1], inner[1, 1] = 1e6, 1 + 2**-20  # beyond float16, and between two of its numbers
    assert half_product(inner, weight, pack_half(weight))[:, 0].tolist() == [1e6, 1 + 2**-20]


def test_what_is_not_finite_stays_so():
    weight, inner = draw(8, 64).half(), draw(3, 64)
    inner[1, 5] = float("nan")
    found = half_product(inner, weight, pack_half(weight))
    assert found[1].isnan().all() and found[[0, 2]].isfinite().all()
