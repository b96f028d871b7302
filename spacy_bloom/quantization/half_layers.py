"""Layers whose weights stay in 16 bits while activations are float32, in the places of a model's own."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ..bloom.lm_head import LMHead
from .half_product import half_product, pack_half
from .packed_weight import PackedWeight


class HalfLinear(nn.Linear):
    """A linear layer with a float16 or bfloat16 weight. It is a Linear, so that adapters can be put around it; its own
    weight never learns.

    weight (Tensor): Shape (features, columns).
    bias (Tensor | None): float32. Shape (features,).
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        nn.Module.__init__(self)  # not Linear's, which would draw a weight
        self.out_features, self.in_features = weight.shape
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.register_parameter("bias", None if bias is None else nn.Parameter(bias, requires_grad=False))
        self._packed = PackedWeight(pack_half)

    @classmethod
    def of(cls, linear: nn.Linear, dtype: torch.dtype) -> "HalfLinear":
        """RETURNS (HalfLinear): What stands for a linear layer; on the meta device as well."""
        bias = None if linear.bias is None else linear.bias.detach().float()
        return cls(linear.weight.detach().to(dtype), bias)

    def forward(self, inner: Tensor) -> Tensor:
        """
        inner (Tensor): Shape (*leading, columns).
        RETURNS (Tensor): Shape (*leading, features), in the dtype of inner.
        """
        total = _product(inner.reshape(-1, self.in_features).float(), self)  # (rows, features)
        if self.bias is not None:
            total = total + self.bias if total.requires_grad else total.add_(self.bias)
        return total.view(*inner.shape[:-1], self.out_features).to(inner.dtype)

    def packed(self) -> Any:
        """RETURNS (Any): The weight as the kernel reads it, made when it is first asked for."""
        return self._packed.of(self.weight)

    def extra_repr(self) -> str:
        dtype = str(self.weight.dtype).removeprefix("torch.")
        return f"{self.in_features}, {self.out_features}, {dtype}"


class HalfEmbedding(nn.Embedding):
    """An embedding in 16 bits that is read as float32."""

    @classmethod
    def of(cls, embedding: nn.Embedding, dtype: torch.dtype) -> "HalfEmbedding":
        """RETURNS (HalfEmbedding): What stands for an embedding; on the meta device as well."""
        return cls.from_pretrained(embedding.weight.detach().to(dtype), freeze=True)

    def forward(self, ids: Tensor) -> Tensor:
        """RETURNS (Tensor): Rows in float32. Shape (*ids.shape, hidden_size)."""
        return F.embedding(ids, self.weight).float()


class HalfLMHead(HalfLinear, LMHead):
    """The language-modelling head in 16 bits; a tied one holds the embedding's own weight."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__(weight, bias)
        self.vocab_size = self.out_features

    def tie(self, embedding: nn.Module) -> None:
        """See LMHead."""
        self.weight = embedding.get_parameter("weight")

    def logits(self, hidden: Tensor, *, pieces: Tensor | None = None) -> Tensor:
        """See LMHead. Only the rows of the pieces are multiplied."""
        if pieces is None:
            return self(hidden).float()
        rows = hidden.reshape(-1, self.in_features).float()
        return half_product(rows, self.weight[pieces], None).view(*hidden.shape[:-1], len(pieces))


def _product(rows: Tensor, layer: HalfLinear) -> Tensor:
    return (
        _Product.apply(rows, layer)
        if rows.requires_grad
        else half_product(rows, layer.weight, layer.packed())
    )


class _Product(Function):
    """The product, with the activations' gradient: adapters below learn by it."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, layer: HalfLinear) -> Tensor:
        ctx.layer = layer
        return half_product(rows, layer.weight, layer.packed())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_total: Tensor) -> tuple[Tensor, None]:
        return d_total @ ctx.layer.weight.float(), None
