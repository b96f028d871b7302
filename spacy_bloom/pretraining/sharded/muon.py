"""Muon for matrices that are divided among ranks by rows."""

from collections.abc import Iterator, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..optimizers import Muon, orthogonal


class ShardedMuon(Muon):
    """As `Muon`, with the same steps up to rounding. Only a whole matrix can be made orthogonal: the ranks take turns,
    each puts one matrix together, works on it while the others work on theirs, and gives them their rows. A matrix
    goes to and fro once in a step, as much as a backward pass sends of it; each rank holds one whole matrix.
    """

    def _directions(
        self, parameters: Sequence[nn.Parameter], momentum: float
    ) -> Iterator[tuple[nn.Parameter, Tensor]]:
        """See Muon."""
        n_ranks = dist.get_world_size()
        for start in range(0, len(parameters), n_ranks):
            turn = parameters[start : start + n_ranks]
            found = [_gather(self._look_ahead(p, momentum), owner) for owner, p in enumerate(turn)]
            own = next((orthogonal(whole).float() for whole in found if whole is not None), None)
            for owner, parameter in enumerate(turn):
                yield parameter, _scatter(own if owner == dist.get_rank() else None, parameter, owner)


def _gather(divided: Tensor, owner: int) -> Tensor | None:
    """divided (Tensor): A DTensor of shape (n, m), by rows.
    RETURNS (Tensor | None): The whole matrix for its owner, None for others.
    """
    rows = _padded(divided.to_local(), _rows(divided))  # type: ignore[attr-defined]
    parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
    dist.gather(rows, parts if owner == dist.get_rank() else None, dst=owner)
    return torch.cat(parts)[: divided.shape[0]] if owner == dist.get_rank() else None


def _scatter(whole: Tensor | None, like: Tensor, owner: int) -> Tensor:
    """whole (Tensor | None): The owner's matrix.
    like (Tensor): A DTensor of the same shape.
    RETURNS (Tensor): A DTensor of it.
    """
    from torch.distributed.tensor import DTensor

    n_ranks, local = dist.get_world_size(), like.to_local()  # type: ignore[attr-defined]
    received = torch.empty(_rows(like), like.shape[1], dtype=torch.float32, device=local.device)
    parts = None if whole is None else [_padded(p, _rows(like)) for p in _split(whole, n_ranks, _rows(like))]
    dist.scatter(received, parts, src=owner)
    return DTensor.from_local(
        received[: len(local)],
        like.device_mesh,  # type: ignore[attr-defined]
        like.placements,  # type: ignore[attr-defined]
        run_check=False,
        shape=like.shape,
        stride=like.stride(),
    )


def _rows(divided: Tensor) -> int:
    """RETURNS (int): Rows of a matrix that the first rank has; the last ones may have fewer."""
    return -(-divided.shape[0] // dist.get_world_size())


def _split(whole: Tensor, n_ranks: int, rows: int) -> list[Tensor]:
    return [whole[rank * rows : (rank + 1) * rows] for rank in range(n_ranks)]


def _padded(part: Tensor, rows: int) -> Tensor:
    """RETURNS (Tensor): With rows of zeros at the end; exchanges want equal shapes. Shape (rows, m)."""
    return nn.functional.pad(part, (0, 0, 0, rows - len(part))).contiguous()
