import numpy as np
import pytest
import torch

jax = pytest.importorskip("jax", reason="jax is not installed: pip install spacy-bloom[jax].")

from spacy_bloom.bloom.alibi import alibi_slopes, causal_alibi
from spacy_bloom.bloom_jax.alibi import LOWEST, attention_bias


@pytest.mark.parametrize("n_head", [1, 3, 8])
def test_unpadded_bias_is_torch_s(n_head):
    expected = causal_alibi(alibi_slopes(n_head), 7)
    found = torch.tensor(np.asarray(attention_bias(n_head, np.ones((1, 7), int), 0, 7, 7))[0])
    seen = expected > -torch.inf
    assert torch.equal(found[seen], expected[seen])
    assert (found[~seen] == LOWEST).all()


def test_padding_shifts_nothing_and_free_columns_are_not_there():
    plain = attention_bias(3, np.ones((1, 5), int), 0, 5, 5)
    mask = np.array([[0, 0, 1, 1, 1, 1, 1, 0, 0]])
    found = attention_bias(3, mask, 2, 5, 7)  # queries from column 2 on, columns 7 and 8 free
    assert np.array_equal(found[..., 2:7], plain)
    assert (found[..., :2] == LOWEST).all() and (found[..., 7:] == -np.inf).all()
