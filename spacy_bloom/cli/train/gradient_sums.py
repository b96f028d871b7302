"""The gradients of a pipeline, wherever they are, added up over the ranks."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from spacy.language import Language
from thinc.api import Model, PyTorchShim, torch2xp, xp2torch
from torch import Tensor, nn

from ...errors import InputError
from ...thinc_layers.weights.checkpoint_shim import CheckpointShim
from ...thinc_layers.weights.shim import BloomShim

BUCKET = 2**24  # numbers that are sent at once: 64 MB, the only copy of gradients that is made


@dataclass(frozen=True, eq=False)
class TorchWeight:
    """parameter (Parameter): A weight of a torch module in a shim."""

    parameter: nn.Parameter

    @property
    def size(self) -> int:
        """RETURNS (int): Number of elements."""
        return self.parameter.numel()

    @property
    def data(self) -> Tensor:
        """RETURNS (Tensor): The weight."""
        return self.parameter.data

    @property
    def grad(self) -> Tensor | None:
        """RETURNS (Tensor | None): Its gradient, if there is one."""
        return self.parameter.grad

    def put(self, grad: Tensor, rows: Tensor | None = None) -> None:
        """Set the gradient.

        grad (Tensor): Shape (size,).
        rows (Tensor | None): Numbers of the only rows that were read, for a sparse gradient. Shape (rows,).
        """
        own = grad.view(self.parameter.shape).to(self.parameter.dtype, copy=True)
        if rows is not None:
            own = torch.sparse_coo_tensor(rows[None], own[rows], own.shape, is_coalesced=True)
        self.parameter.grad = own

    def forget(self) -> None:
        """Remove the gradient."""
        self.parameter.grad = None


@dataclass(frozen=True, eq=False)
class ThincWeight:
    """node (Model), name (str): A weight of a thinc layer."""

    node: Model
    name: str

    @property
    def size(self) -> int:
        """RETURNS (int): Number of elements."""
        return self.node.get_param(self.name).size

    @property
    def data(self) -> Tensor:
        """RETURNS (Tensor): The weight."""
        return xp2torch(self.node.get_param(self.name))

    @property
    def grad(self) -> Tensor | None:
        """RETURNS (Tensor | None): Its gradient, if there is one."""
        return xp2torch(self.node.get_grad(self.name)) if self.node.has_grad(self.name) else None

    def put(self, grad: Tensor, rows: Tensor | None = None) -> None:
        """As for TorchWeight; the gradients of thinc's layers are dense."""
        shape = self.node.get_param(self.name).shape
        self.node.set_grad(self.name, self.node.ops.asarray(torch2xp(grad.view(shape).clone())))

    def forget(self) -> None:
        """Set the gradient to zero."""
        if self.node.has_grad(self.name):
            self.node.set_grad(self.name, self.node.ops.xp.zeros_like(self.node.get_grad(self.name)))


Weight = TorchWeight | ThincWeight
NONE, DENSE, SPARSE = range(3)  # kinds of gradients


def weights_of(nlp: Language, exclude: Collection[str] = ()) -> list[Weight]:
    """The weights of the components that learn, each once, in an order that is the same on all ranks. What is pending
    of their gradients is settled.

    exclude (Collection[str]): Names of components that do not learn.
    RAISES (InputError): A layer keeps its weights where they are not found.
    """
    found: dict[Any, Weight] = {}
    for name, pipe in nlp.pipeline:
        model = getattr(pipe, "model", None)
        if name not in exclude and getattr(pipe, "is_trainable", False) and isinstance(model, Model):
            for node in model.walk():
                for weight in _weights_of_shims(node):
                    found.setdefault(id(weight.parameter), weight)
                for key in node.param_names:
                    if node.has_param(key):
                        found.setdefault((node.id, key), ThincWeight(node, key))
    return list(found.values())


def _weights_of_shims(node: Model) -> Iterator[TorchWeight]:
    for shim in node.shims:
        if isinstance(shim, BloomShim):
            if shim.pending is not None:
                shim.pending.close()
            parameters = [weight for _, weight in shim.named_weights()] if shim.loaded else []
        elif isinstance(shim, CheckpointShim):
            parameters = []  # read only
        elif isinstance(shim, PyTorchShim):
            parameters = list(shim._model.parameters())
        else:
            raise InputError(
                f"The layer {node.name!r} keeps its weights in a {type(shim).__name__}, of which gradients cannot be "
                "added up over ranks. Train in one process."
            )
        yield from (TorchWeight(p) for p in parameters if p.requires_grad)


def add_up(weights: Sequence[Weight], batch: int) -> None:
    """Replace each gradient by its sum over the ranks. Where only some have one, the others have zeros. A sparse one
    gets the rows that any rank has read.

    weights (Sequence[Weight]): Of all components that learn.
    batch (int): A checksum of what the ranks have learnt from.
    RAISES (InputError): The ranks have learnt from different batches, or have different weights.
    """
    check_alike(batch, "have read different batches: the corpus is not the same or not in the same order")
    check_alike(len(weights), "learn different weights")
    kinds = torch.tensor([_kind(weight.grad) for weight in weights], dtype=torch.int32)
    dist.all_reduce(kinds, op=dist.ReduceOp.MAX)
    kind_of = dict(zip(weights, kinds.tolist(), strict=True))
    for bucket in _buckets([weight for weight, kind in kind_of.items() if kind != NONE]):
        flat = torch.cat([_flat_gradient(weight) for weight in bucket])
        dist.all_reduce(flat)
        for weight, part in zip(bucket, flat.split([w.size for w in bucket]), strict=True):
            weight.put(part, _rows_of_any(weight) if kind_of[weight] == SPARSE else None)


def _kind(grad: Tensor | None) -> int:
    return NONE if grad is None else SPARSE if grad.is_sparse else DENSE


def _rows_of_any(weight: Weight) -> Tensor:
    """RETURNS (Tensor): Numbers of the rows that some rank has read, in order. Shape (rows,)."""
    read = torch.zeros(weight.data.shape[0], dtype=torch.int32, device=weight.data.device)
    if weight.grad is not None:
        read[weight.grad.coalesce().indices()[0]] = 1
    dist.all_reduce(read, op=dist.ReduceOp.MAX)
    return read.nonzero()[:, 0]


def check_alike(number: int, difference: str) -> None:
    """number (int): At most 62 bits.
    difference (str): What is wrong if the ranks have not the same number.
    RAISES (InputError): They have not.
    """
    extremes = torch.tensor([number, -number], dtype=torch.int64)
    dist.all_reduce(extremes, op=dist.ReduceOp.MAX)
    if extremes[0] != -extremes[1]:
        raise InputError(
            f"The ranks {difference}. Give all the same files, config and code, and draw random numbers from Python, "
            "numpy or torch only."
        )


def _flat_gradient(weight: Weight) -> Tensor:
    """RETURNS (Tensor): In float32; zeros if there is none. Shape (size,)."""
    grad = weight.grad
    if grad is None:
        return torch.zeros(weight.size, device=weight.data.device)
    return grad.detach().to_dense().flatten().float()


def _buckets(weights: Sequence[Weight]) -> Iterator[list[Weight]]:
    """YIELDS (list[Weight]): Weights of one device, as many as are sent at once, at least one."""
    bucket: list[Weight] = []
    for weight in weights:
        full = sum(w.size for w in bucket) + weight.size > BUCKET
        if bucket and (full or bucket[0].data.device != weight.data.device):
            yield bucket
            bucket = []
        bucket.append(weight)
    if bucket:
        yield bucket
