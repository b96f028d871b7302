import pytest
import torch
from torch import nn

from spacy_bloom.bloom.lm_head import LinearLMHead
from spacy_bloom.bloom.resizing import padded_size, resize_embedding, resize_head
from spacy_bloom.errors import InputError


@pytest.mark.parametrize("size, multiple, expected", [(5, None, 5), (5, 4, 8), (8, 4, 8), (1, 64, 64)])
def test_padded_sizes(size, multiple, expected):
    assert padded_size(size, multiple) == expected


def test_new_rows_are_close_to_the_mean():
    for dtype in (torch.float32, torch.bfloat16):
        embedding = nn.Embedding(500, 8, padding_idx=499).to(dtype)
        old = embedding.weight.detach().clone()
        resize_embedding(embedding, 600, init=None)
        assert torch.equal(embedding.weight[:500], old) and embedding.weight.dtype == dtype
        torch.testing.assert_close(
            embedding.weight[500:], old.float().mean(0).to(dtype).expand(100, -1), atol=1e-2, rtol=0
        )
        resize_embedding(embedding, 499, init=None)
        assert torch.equal(embedding.weight, old[:499]) and embedding.padding_idx is None


def test_rows_that_do_not_vary():
    embedding = nn.Embedding.from_pretrained(torch.ones(5, 3))
    resize_embedding(embedding, 7, init=None)
    assert torch.equal(embedding.weight, torch.ones(7, 3)) and not embedding.weight.requires_grad


def test_a_stale_gradient_goes():
    head = LinearLMHead(3, 5)
    head(torch.ones(1, 3)).sum().backward()
    resize_head(head, 7, init=nn.Module.eval)
    assert head.weight.shape == (7, 3) and head.weight.grad is None


def test_what_cannot_be_resized():
    with pytest.raises(InputError, match="Resize before"):
        resize_embedding(nn.Identity(), 5, init=None)
    with pytest.raises(InputError, match="Resize before"):
        resize_head(nn.Identity(), 5, init=None)
