"""Which columns of a layer meet activations far larger than the rest.

Trained decoders have a few hidden features 20 to 60 times as large as the others, the same ones in nearly all texts. A
row's scale is set by its largest number: with those in it, the others would be left with a few integers.
SOURCE: Dettmers et al. 2022 (arXiv 2208.07339), who look for them batch by batch. Here they are found once, so that a
row's result depends on nothing but the row.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def recording_largest(layers: dict[str, nn.Linear]) -> Iterator[dict[str, Tensor]]:
    """YIELDS (dict[str, Tensor]): By name of the layer, the largest absolute number that each column has met inside
    the context. Each of shape (columns,).
    """
    found: dict[str, Tensor] = {}

    def record(name: str) -> Callable:
        def hook(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            largest = inputs[0].detach().flatten(0, -2).abs().amax(dim=0).float()  # (columns,)
            found[name] = torch.maximum(found.get(name, largest), largest)

        return hook

    handles = [layer.register_forward_pre_hook(record(name)) for name, layer in layers.items()]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def outlier_columns(largest: Tensor, *, factor: float, max_share: float) -> Tensor:
    """
    largest (Tensor): By column. Shape (columns,).
    factor (float): How many times the median makes an outlier.
    max_share (float): Share of the columns that may be outliers; the largest are taken.
    RETURNS (Tensor): Columns, in order. Shape (kept,), int64.
    """
    most = int(max_share * len(largest))
    above = int((largest > factor * largest.median()).sum())
    return largest.topk(min(above, most)).indices.sort().values
