"""One decoder block of BLOOM: self-attention and MLP."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import BloomConfig
from .linear import add_linear, gelu_, gelu_linear, is_plain, run_linear
from .views import BatchView


class BloomAttention(nn.Module):
    """Self-attention with one fused projection, interleaved head by head (query, key, value of head 0, ...).

    The number of heads is that of the weights, so that a projection may hold some of them only. Parameter names are
    the checkpoints': `query_key_value`, `dense`.
    """

    def __init__(self, config: BloomConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.head_dim = config.head_dim
        self.hidden_dropout = config.hidden_dropout
        self.attention_dropout = config.attention_dropout
        self.query_key_value = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden: Tensor, residual: Tensor, view: BatchView) -> Tensor:
        """
        hidden (Tensor): Normalised hidden states. Shape (*leading, hidden_size).
        residual (Tensor): Added to the output. Shape (*leading, hidden_size).
        RETURNS (Tensor): Shape (*leading, hidden_size).
        """
        fused = run_linear(self.query_key_value, hidden).unflatten(-1, (-1, 3, self.head_dim))
        query, key, value = fused.unbind(dim=-2)  # 3 x (*leading, n_head, head_dim)
        dropout = (self.attention_dropout, self.hidden_dropout) if self.training else (0.0, 0.0)
        context = view.attend(self.layer, query, key, value, dropout[0])
        return add_linear(residual, self.dense, context, dropout[1])


class BloomMLP(nn.Module):
    """Two linear layers with GELU (tanh approximation) between them."""

    def __init__(self, config: BloomConfig) -> None:
        super().__init__()
        self.hidden_dropout = config.hidden_dropout
        self.dense_h_to_4h = nn.Linear(config.hidden_size, 4 * config.hidden_size)
        self.dense_4h_to_h = nn.Linear(4 * config.hidden_size, config.hidden_size)

    def forward(self, hidden: Tensor, residual: Tensor) -> Tensor:
        """
        hidden (Tensor): Shape (*leading, hidden_size).
        residual (Tensor): Added to the output, and overwritten where no gradient is needed.
            Shape (*leading, hidden_size).
        RETURNS (Tensor): Shape (*leading, hidden_size).
        """
        inner = run_linear(self.dense_h_to_4h, hidden)  # (*leading, 4 * hidden_size)
        dense = self.dense_4h_to_h
        dropout = self.hidden_dropout if self.training else 0.0
        # Under autocast inner has another dtype than the weights, and the plain way knows what to do.
        if torch.is_grad_enabled() and is_plain(dense) and inner.dtype == dense.weight.dtype:
            return residual + F.dropout(gelu_linear(inner, dense.weight, dense.bias), dropout)
        return add_linear(residual, dense, gelu_(inner), dropout, overwrite=True)


class BloomBlock(nn.Module):
    """Attention and MLP, each behind a layer norm, with residuals from before or after the norm."""

    def __init__(self, config: BloomConfig, layer: int) -> None:
        super().__init__()
        self.residual_after_norm = config.apply_residual_connection_post_layernorm
        self.input_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_epsilon)
        self.self_attention = BloomAttention(config, layer)
        self.post_attention_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_epsilon)
        self.mlp = BloomMLP(config)

    def forward(self, hidden: Tensor, view: BatchView) -> Tensor:
        """
        hidden (Tensor): Shape (*leading, hidden_size).
        RETURNS (Tensor): Shape (*leading, hidden_size).
        """
        normed = self.input_layernorm(hidden)
        attended = self.self_attention(normed, normed if self.residual_after_norm else hidden, view)
        normed = self.post_attention_layernorm(attended)
        return self.mlp(normed, normed if self.residual_after_norm else attended)
