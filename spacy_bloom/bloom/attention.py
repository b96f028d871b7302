"""BLOOM's self-attention."""

from torch import Tensor, nn

from ..config import BloomConfig
from .residual import add_linear
from .views import BatchView


class BloomAttention(nn.Module):
    """Self-attention with one fused projection, interleaved head by head (query, key, value of head 0, ...).

    Parameter names are the checkpoints': `query_key_value`, `dense`.
    """

    def __init__(self, config: BloomConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.n_head = config.n_head
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
        fused = self.query_key_value(hidden).unflatten(-1, (self.n_head, 3, self.head_dim))
        query, key, value = fused.unbind(dim=-2)  # 3 x (*leading, n_head, head_dim)
        dropout = (self.attention_dropout, self.hidden_dropout) if self.training else (0.0, 0.0)
        context = view.attend(self.layer, query, key, value, dropout[0])
        return add_linear(residual, self.dense, context, dropout[1])
