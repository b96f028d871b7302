"""Layers with int8 weights, in the places of a model's own."""

from typing import Any

from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ..bloom.lm_head import LMHead
from .packed_weight import PackedWeight
from .product import int8_product, pack, quantize_rows


class Int8Linear(nn.Linear):
    """A linear layer with int8 weights, one scale for each row of them, and activations that are rounded row by row.

    A few columns may stay in float: those that meet activations far larger than the rest, which would take their
    precision. It is a Linear, so that adapters can be put around it; its own weight never learns.

    weight (Tensor): Shape (features, columns), int8.
    weight_scale (Tensor): Shape (features,), float32.
    float_columns (Tensor): Which stay in float, in order. Shape (kept,), int64.
    float_weight (Tensor | None): Those columns. Shape (features, kept).
    bias (Tensor | None): Shape (features,).
    """

    float_columns: Tensor
    float_weight: Tensor | None

    def __init__(
        self,
        weight: Tensor,
        weight_scale: Tensor,
        bias: Tensor | None,
        *,
        float_columns: Tensor,
        float_weight: Tensor | None,
    ) -> None:
        nn.Module.__init__(self)  # not Linear's, which would draw a weight
        self.out_features, self.in_features = weight.shape
        self.weight, self.weight_scale = _fixed(weight), _fixed(weight_scale)
        self.register_parameter("bias", None if bias is None else _fixed(bias))
        self.float_weight = None if float_weight is None else _fixed(float_weight)
        self.register_buffer("float_columns", float_columns, persistent=False)
        self._packed = PackedWeight(pack)

    @classmethod
    def of(cls, linear: nn.Linear, float_columns: Tensor) -> "Int8Linear":
        """RETURNS (Int8Linear): What stands for a linear layer; on the meta device as well."""
        bias = None if linear.bias is None else linear.bias.detach().float()
        kept = _kept(linear, float_columns)
        return cls(
            *quantize_rows(linear.weight.detach()), bias, float_columns=float_columns, float_weight=kept
        )

    def forward(self, inner: Tensor) -> Tensor:
        """
        inner (Tensor): Shape (*leading, columns).
        RETURNS (Tensor): Shape (*leading, features), in the dtype of inner.
        """
        rows = inner.reshape(-1, self.in_features).float()  # (rows, columns)
        if self.float_weight is None:
            total = _product(rows, self, self.bias)
        else:
            apart = F.linear(rows[:, self.float_columns], self.float_weight, self.bias)  # (rows, features)
            rest = rows.index_fill(1, self.float_columns, 0.0)
            total = _product(rest, self, None) + apart
        return total.view(*inner.shape[:-1], self.out_features).to(inner.dtype)

    def packed(self) -> Any:
        """RETURNS (Any): The weight as the kernel reads it, made when it is first asked for."""
        return self._packed.of(self.weight, self.weight_scale)

    def dequantized(self) -> Tensor:
        """RETURNS (Tensor): The int8 weight in float32. Shape (features, columns)."""
        return self.weight.float() * self.weight_scale[:, None]

    def extra_repr(self) -> str:
        kept = len(self.float_columns)
        return f"{self.in_features}, {self.out_features}, int8" + (
            f", {kept} columns in float" if kept else ""
        )


class Int8Embedding(nn.Module):
    """An embedding whose rows are int8, each with a scale.

    weight (Tensor): Shape (vocab_size, hidden_size), int8.
    weight_scale (Tensor): Shape (vocab_size,), float32.
    """

    def __init__(self, weight: Tensor, weight_scale: Tensor) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim = weight.shape
        self.weight, self.weight_scale = _fixed(weight), _fixed(weight_scale)

    @classmethod
    def of(cls, embedding: nn.Embedding) -> "Int8Embedding":
        """RETURNS (Int8Embedding): What stands for an embedding; on the meta device as well."""
        return cls(*quantize_rows(embedding.weight.detach()))

    def forward(self, ids: Tensor) -> Tensor:
        """RETURNS (Tensor): Rows in float32. Shape (*ids.shape, hidden_size)."""
        return F.embedding(ids, self.weight).float() * self.weight_scale[ids].unsqueeze(-1)


class Int8LMHead(Int8Linear, LMHead):
    """The language-modelling head in int8; a tied one holds the embedding's own tensors."""

    @classmethod
    def of(cls, linear: nn.Linear, float_columns: Tensor, tied: Int8Embedding | None = None) -> "Int8LMHead":
        """RETURNS (Int8LMHead): What stands for a head, with the weight of the embedding if there is one."""
        if tied is None:
            weights, kept = quantize_rows(linear.weight.detach()), _kept(linear, float_columns)
        else:
            weights, kept = (tied.weight, tied.weight_scale), None
        head = cls(*weights, None, float_columns=float_columns, float_weight=kept)
        head.vocab_size = head.out_features
        if tied is not None:
            head.tie(tied)
        return head

    def tie(self, embedding: nn.Module) -> None:
        """See LMHead."""
        for name in ("weight", "weight_scale"):
            setattr(self, name, embedding.get_parameter(name))
        if len(self.float_columns):  # activations keep their precision; the weights have the embedding's
            kept = self.weight[:, self.float_columns].float() * self.weight_scale[:, None]
            del self.float_weight
            self.register_buffer("float_weight", kept, persistent=False)

    def logits(self, hidden: Tensor, *, pieces: Tensor | None = None) -> Tensor:
        """See LMHead. Only the rows of the pieces are multiplied."""
        if pieces is None:
            return self(hidden).float()
        columns = self.float_columns
        kept = None if self.float_weight is None else self.float_weight[pieces]
        part = Int8Linear(
            self.weight[pieces], self.weight_scale[pieces], None, float_columns=columns, float_weight=kept
        )
        return part(hidden).float()


def _fixed(value: Tensor) -> nn.Parameter:
    return value if isinstance(value, nn.Parameter) else nn.Parameter(value, requires_grad=False)


def _kept(linear: nn.Linear, columns: Tensor) -> Tensor | None:
    """RETURNS (Tensor | None): The columns that stay in float. Shape (features, kept)."""
    return linear.weight.detach()[:, columns].float() if len(columns) else None


def _product(rows: Tensor, layer: Int8Linear, bias: Tensor | None) -> Tensor:
    if rows.requires_grad:
        return _Product.apply(rows, layer, bias)
    return int8_product(rows, layer.packed(), layer.weight_scale, bias)


class _Product(Function):
    """The product, with the gradient that activations would have without their rounding: adapters below learn by it."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, layer: Int8Linear, bias: Tensor | None) -> Tensor:
        ctx.layer = layer
        return int8_product(rows, layer.packed(), layer.weight_scale, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_total: Tensor) -> tuple[Tensor, None, None]:
        return d_total @ ctx.layer.dequantized(), None, None
