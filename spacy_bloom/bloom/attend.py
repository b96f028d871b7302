"""Scaled dot-product attention with ALiBi as its bias."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

# Up to this many scores per head, whole products are taken on CPU and not the fused kernel, which works in blocks, but
# is faster for a single query. Its backward pass in half precision is far slower than theirs.
MAX_SMALL_SCORES, MAX_HALF_SCORES = 128 * 128, 256 * 256


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, dropout: float = 0.0) -> Tensor:
    """Attention without its weights, by torch's fused kernels.

    In half precision the bias is rounded too. It is relative to the query: exact for the near keys, which decide, and
    rounded only where a key is so far away that its weight is next to nothing. The kernels add it in float32; the error
    does not grow with the length, as it does with Hugging Face's bias, which counts from the first piece.

    query (Tensor): Shape (batch, n_head, queries, head_dim).
    key, value (Tensor): Shape (batch, n_head, keys, head_dim).
    bias (Tensor): Added to the scaled scores; float32, or what `rounded_bias` makes of it.
        Shape (batch or 1, n_head, queries, keys).
    RETURNS (Tensor): Shape (batch, n_head, queries, head_dim), in the dtype of the values.
    """
    bias = rounded_bias(bias, query.dtype)
    if _is_small(query, key, dropout):
        return _attend_small(query, key, value, bias, dropout)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=bias, dropout_p=dropout)


def rounded_bias(bias: Tensor, dtype: torch.dtype) -> Tensor:
    """RETURNS (Tensor): A float32 bias in a dtype of fewer bits. What masks by the lowest number becomes the lowest
    of that dtype, and not infinite: rows that are masked altogether stay finite.
    """
    if bias.dtype == dtype or dtype.itemsize >= bias.dtype.itemsize:
        return bias
    lowest = torch.finfo(dtype).min
    return torch.where(bias.isneginf(), bias, bias.clamp_min(lowest)).to(dtype)


def _is_small(query: Tensor, key: Tensor, dropout: float) -> bool:
    n_scores = query.shape[-2] * key.shape[-2]
    if query.device.type != "cpu":
        return False
    if torch.is_grad_enabled():
        return query.dtype in (torch.bfloat16, torch.float16) and n_scores <= MAX_HALF_SCORES
    several = query.shape[-2] > 1  # not a step of generation
    return several and query.dtype == torch.float32 and n_scores <= MAX_SMALL_SCORES and not dropout


def _attend_small(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, dropout: float) -> Tensor:
    """Arguments and result as for `attend`: three calls, a quarter faster on CPU than the fused one; with gradients in
    half precision, five times for sequences of 128 pieces.
    """
    batch, n_head, queries, head_dim = query.shape
    # One sequence needs no copy: its heads are what the products run over.
    heads = [x[0] if batch == 1 else x.reshape(batch * n_head, -1, head_dim) for x in (query, key, value)]
    bias = bias.expand(batch, -1, -1, -1).reshape(batch * n_head, queries, -1)
    scores = torch.baddbmm(bias, heads[0], heads[1].transpose(-1, -2), alpha=1.0 / math.sqrt(head_dim))
    weights = F.dropout(F.softmax(scores, dim=-1), dropout, training=dropout > 0.0)
    return torch.bmm(weights, heads[2]).view(query.shape)


def attend_with_weights(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor, dropout: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Attention with its weights; scores and softmax are float32 in every dtype.

    Arguments as in `attend`.
    RETURNS (tuple[Tensor, Tensor]): The context, and the weights in the values' dtype, after dropout.
        Shapes (batch, n_head, queries, head_dim) and (batch, n_head, queries, keys).
    """
    scale = 1.0 / math.sqrt(query.shape[-1])
    # (batch, n_head, queries, keys)
    scores = torch.matmul(query.float() * scale, key.float().transpose(-1, -2))
    weights = F.softmax(scores + bias, dim=-1).to(value.dtype)
    weights = F.dropout(weights, dropout, training=dropout > 0.0)
    return torch.matmul(weights, value), weights
