"""A language model whose weights are divided among ranks by rows (FSDP2), block by block.

Each rank holds its part of every weight, gathers the weights of a block when it comes to it, and lets go of them after
it. SOURCE: Zhao et al. 2023 (arXiv 2304.11277); torch's `fully_shard`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ...bloom.heads import BloomLanguageModel
from ...bloom.losses import IGNORED_LABEL
from ...checkpoint.load import Place, Placement, frame_model
from ...config import BloomConfig
from ...errors import InputError
from ..data import Batch
from ..evaluation import packed_nll

if TYPE_CHECKING:
    from torch.distributed.fsdp import FSDPModule


class ShardedLM(nn.Module):
    """From pieces to loss in one call, so that FSDP sees where a pass begins and ends.

    model (BloomLanguageModel): Divided among the ranks from now on, in place; on the CPU or the meta device before.
    device (torch.device | str): Where the parts go, block by block: no device holds the whole.
    compute_dtype (torch.dtype): Dtype of gathered weights and of hidden states; weights, sums of gradients and the
        optimizer stay float32.
    """

    def __init__(
        self,
        model: BloomLanguageModel,
        *,
        device: torch.device | str = "cpu",
        compute_dtype: torch.dtype = torch.float32,
    ) -> None:
        # Imported late: it takes seconds.
        from torch.distributed.device_mesh import init_device_mesh

        try:
            from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
        except ImportError as error:
            raise InputError(
                f"Expected a torch with FSDP2 to train one model on several ranks, got torch {torch.__version__}. "
                "Install a newer one, or train in one process."
            ) from error
        super().__init__()
        self.model = model
        policy = MixedPrecisionPolicy()
        if compute_dtype != torch.float32:
            policy = MixedPrecisionPolicy(
                param_dtype=compute_dtype, reduce_dtype=torch.float32, cast_forward_inputs=False
            )
        mesh = init_device_mesh(torch.device(device).type, (dist.get_world_size(),))
        for module in (*model.transformer.h, self):
            fully_shard(module, mesh=mesh, mp_policy=policy)
        for name in ("loss", "nll"):
            register_fsdp_forward_method(self, name)
        for module in self._divided():
            # Batches come with their shares of the step's loss: their gradients are added, not averaged.
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)

    def loss(self, batch: Batch, bidirectional_layers: int) -> Tensor:
        """RETURNS (Tensor): Mean over the labels that are not ignored, in nats. Shape ()."""
        hidden = self.model.transformer.encode_packed(
            batch.input_ids, batch.lengths, bidirectional_layers=bidirectional_layers
        )
        kept = batch.labels != IGNORED_LABEL  # the logits of others are not computed
        return self.model.lm_head.loss(hidden[kept], batch.labels[kept])

    def nll(self, batch: Batch, bidirectional_layers: int) -> Tensor:
        """RETURNS (Tensor): See `packed_nll`."""
        return packed_nll(self.model, batch, bidirectional_layers)

    def release(self) -> None:
        """Let go of gathered weights, which are kept after a pass without a backward pass."""
        for module in self._divided():
            module.reshard()

    def _divided(self) -> "list[FSDPModule]":
        from torch.distributed.fsdp import FSDPModule

        return [module for module in self.modules() if isinstance(module, FSDPModule)]


def own_rows(rank: int, n_ranks: int) -> Placement:
    """RETURNS (Placement): The rows of each weight that FSDP2 gives to a rank; they may be none."""

    def place(name: str, shape: tuple[int, ...]) -> Place:
        rows = -(-shape[0] // n_ranks)
        start = min(rank * rows, shape[0])
        return Place(slices=(slice(start, min(start + rows, shape[0])),))

    return place


def shard_parts(
    make: Callable[[BloomConfig], BloomLanguageModel],
    parts: BloomLanguageModel,
    *,
    device: torch.device | str,
    compute_dtype: torch.dtype = torch.float32,
) -> ShardedLM:
    """A sharded model around the parts that a rank has read; the whole is nowhere.

    make (Callable): The model's class.
    parts (BloomLanguageModel): The model, loaded with the placement of `own_rows`.
    device (torch.device | str): Where its parts go.
    RETURNS (ShardedLM): The model.
    """
    sharded = empty_sharded(make, parts.config, device=device, compute_dtype=compute_dtype)
    own = dict(parts.named_parameters())
    with torch.no_grad():
        for name, parameter in sharded.model.named_parameters():
            parameter.to_local().copy_(own[name])  # type: ignore[attr-defined]
    return sharded


def empty_sharded(
    make: Callable[[BloomConfig], BloomLanguageModel],
    config: BloomConfig,
    *,
    device: torch.device | str,
    compute_dtype: torch.dtype = torch.float32,
) -> ShardedLM:
    """RETURNS (ShardedLM): A sharded model to load a state into; its weights are any numbers."""
    model = frame_model(make, config)
    model.tie_weights()
    sharded = ShardedLM(model, device=device, compute_dtype=compute_dtype)
    sharded.to_empty(device=device)
    model.tie_weights()
    return sharded
