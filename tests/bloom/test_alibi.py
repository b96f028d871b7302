import pytest
import torch
import transformers
from transformers.models.bloom.modeling_bloom import build_alibi_tensor

from spacy_bloom import BloomConfig, BloomModel
from spacy_bloom.bloom.alibi import alibi_bias, alibi_slopes, causal_alibi, symmetric_alibi


@pytest.mark.parametrize("n_head", [*range(1, 21), 32, 64, 112])
def test_slopes_are_hugging_faces(n_head):
    theirs = build_alibi_tensor(torch.ones(1, 4), n_head, torch.float32)  # (n_head, 1, 4): slope * position
    slopes = alibi_slopes(n_head)
    assert slopes.shape == (n_head,) and slopes.dtype == torch.float32
    torch.testing.assert_close(slopes, theirs[:, 0, 1], rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    "n_head, slopes",
    [(1, [2**-8]), (2, [2**-4, 2**-8]), (3, [2**-4, 2**-8, 2**-2]), (4, [2**-2, 2**-4, 2**-6, 2**-8])],
)
def test_slopes_of_the_paper(n_head, slopes):
    assert alibi_slopes(n_head).tolist() == slopes


def test_bias_grows_with_the_key_and_falls_with_the_query():
    slopes = torch.tensor([0.5, 0.25])
    queries, keys = torch.tensor([[3, 4]]), torch.tensor([[0, 3, 5]])
    bias = alibi_bias(slopes, queries, keys)
    assert bias.shape == (1, 2, 2, 3) and bias.dtype == torch.float32  # (batch, n_head, queries, keys)
    assert bias[0, 0].tolist() == [[-1.5, 0.0, 1.0], [-2.0, -0.5, 0.5]]
    assert torch.equal(bias[0, 1], bias[0, 0] / 2)
    assert alibi_bias(slopes, queries[0], keys[0]).shape == (2, 2, 3)


def test_bias_differs_from_hugging_faces_by_a_constant_per_query():
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])
    positions = (mask.cumsum(-1) - 1) * mask
    theirs = build_alibi_tensor(mask, 6, torch.float32).view(2, 6, 1, 5)
    gap = alibi_bias(alibi_slopes(6), positions, positions) - theirs
    torch.testing.assert_close(gap, gap[..., :1].expand_as(gap))


def test_causal_bias_hides_later_keys_and_serves_shorter_sequences():
    slopes = alibi_slopes(3)
    bias = causal_alibi(slopes, 7)
    assert bias.shape == (3, 7, 7)
    future = torch.ones(7, 7).triu(1).bool()
    assert torch.equal(bias == float("-inf"), future.expand(3, 7, 7))
    assert (bias.diagonal(dim1=1, dim2=2) == 0).all()
    assert torch.equal(bias[:, :4, :4], causal_alibi(slopes, 4))


def test_bias_tells_neighbours_apart_at_any_length():
    bias = causal_alibi(alibi_slopes(1), 4096)
    assert (bias[0, -1].diff() == 2**-8).all()


def test_symmetric_bias_falls_with_the_distance():
    slopes = alibi_slopes(3)
    bias = symmetric_alibi(slopes, 4)
    assert bias.shape == (3, 4, 4) and bias.dtype == torch.float32  # (n_head, length, length)
    assert torch.equal(bias, bias.transpose(1, 2))
    assert bias[0].tolist()[1] == [-slopes[0].item(), 0.0, -slopes[0].item(), -2 * slopes[0].item()]
    before = torch.ones(4, 4).tril().bool()
    assert torch.equal(bias[:, before], causal_alibi(slopes, 4)[:, before])


def test_slopes_first_asked_for_without_gradients_serve_training_too():
    alibi_slopes.cache_clear()
    with torch.inference_mode():
        assert alibi_slopes(5) is alibi_slopes(5)
    assert not alibi_slopes(5).is_inference()


@pytest.mark.parametrize("heads", [1, 3, 8, 12])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_padded_batches_have_the_reference_bias(heads, dtype):
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    config = dict(vocab_size=9, hidden_size=24, n_layer=1, n_head=heads)
    theirs = transformers.BloomModel(transformers.BloomConfig(**config)).build_alibi_tensor(
        mask, heads, dtype
    )
    ours = BloomModel(BloomConfig(**config)).build_alibi_tensor(mask, heads, dtype)
    assert ours.shape == theirs.shape == (3 * heads, 1, 5) and ours.dtype == theirs.dtype
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=0)
