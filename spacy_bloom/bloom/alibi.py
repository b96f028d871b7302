"""Attention with linear biases: what BLOOM has instead of position embeddings."""

import math
from functools import lru_cache

import torch
from torch import Tensor

CPU = torch.device("cpu")


@lru_cache(maxsize=64)
def alibi_slopes(n_head: int, device: torch.device = CPU) -> Tensor:
    """RETURNS (Tensor): As `new_alibi_slopes`, computed once for each device: do not write to it. Shape (n_head,)."""
    return new_alibi_slopes(n_head, device)


def new_alibi_slopes(n_head: int, device: torch.device = CPU) -> Tensor:
    """The factor of each head's linear bias.

    A power of two has a geometric sequence from 2^(-8/n); other counts take every second slope of the next
    power of two for the heads beyond.

    RETURNS (Tensor): Slopes in float32. Shape (n_head,).
    SOURCE: Press et al. 2022 (arXiv 2108.12409), their function for counts that are not powers of two.
    """
    power = 2 ** math.floor(math.log2(n_head))
    slopes = [2 ** (-8 * i / power) for i in range(1, power + 1)]
    slopes += [2 ** (-4 * i / power) for i in range(1, 2 * (n_head - power) + 1, 2)]
    with torch.inference_mode(False):  # what is cached is for training too
        return torch.tensor(slopes, dtype=torch.float32, device=device)


def alibi_bias(slopes: Tensor, query_positions: Tensor, key_positions: Tensor) -> Tensor:
    """The bias added to the scaled scores: slope * (key position - query position).

    Hugging Face adds slope * key position; the query's part is the same for all keys and cancels in the
    softmax. With it the bias near the query stays small, so that float32 keeps its precision at any length.

    slopes (Tensor): Shape (n_head,).
    query_positions (Tensor): Shape (..., queries).
    key_positions (Tensor): Shape (..., keys).
    RETURNS (Tensor): float32. Shape (..., n_head, queries, keys).
    """
    distance = key_positions[..., None, :] - query_positions[..., :, None]  # (..., queries, keys)
    return slopes[:, None, None] * distance[..., None, :, :].float()


def padded_alibi(attention_mask: Tensor, num_heads: int, dtype: torch.dtype) -> Tensor:
    """The bias of a padded batch as Hugging Face has it: slope * place among the row's real pieces. It is equal to
    `alibi_bias` after the softmax only.

    attention_mask (Tensor): 1 for pieces, 0 for padding. Shape (batch, length).
    RETURNS (Tensor): Shape (batch * num_heads, 1, length).
    SOURCE: transformers' build_alibi_tensor.
    """
    batch, length = attention_mask.shape
    places = ((attention_mask.cumsum(dim=-1) - 1) * attention_mask)[:, None, :]  # (batch, 1, length)
    bias = alibi_slopes(num_heads, attention_mask.device)[:, None] * places
    return bias.reshape(batch * num_heads, 1, length).to(dtype)


def causal_alibi(slopes: Tensor, length: int) -> Tensor:
    """The bias of one unpadded sequence, with later keys at -inf.

    RETURNS (Tensor): float32. Shape (n_head, length, length); any leading square of it is the bias of a
        shorter sequence.
    """
    positions = torch.arange(length, device=slopes.device)
    bias = alibi_bias(slopes, positions, positions)
    future = positions[None, :] > positions[:, None]  # (queries, keys)
    return bias.masked_fill_(future, float("-inf"))


def symmetric_alibi(slopes: Tensor, length: int) -> Tensor:
    """The bias of one unpadded sequence whose pieces see each other in both directions: -slope * distance. To what is
    before a piece it is the causal one.

    RETURNS (Tensor): float32. Shape (n_head, length, length), as of `causal_alibi`.
    """
    positions = torch.arange(length, device=slopes.device)
    return alibi_bias(slopes, positions, positions).abs_().neg_()
