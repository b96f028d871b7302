"""Keys and values of the pieces that were already computed."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

# Pieces allocated beyond what is needed when a cache grows, so that most steps of generation copy nothing old.
ROOM = 64


@dataclass
class _Layer:
    """Keys and values of one block, with room at the end.

    keys, values (Tensor): Shape (batch, n_head, capacity, head_dim).
    length (int): Pieces in use.
    """

    keys: Tensor
    values: Tensor
    length: int

    def used(self) -> tuple[Tensor, Tensor]:
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]

    def has_room(self, new: int) -> bool:
        """Whether new pieces can be written in place; with gradients they cannot, what is written may be needed."""
        writable = not torch.is_grad_enabled() and (
            torch.is_inference_mode_enabled() or not self.keys.is_inference()
        )
        return writable and self.length + new <= self.keys.shape[2]

    def write(self, keys: Tensor, values: Tensor) -> None:
        """Write behind what is in use."""
        end = self.length + keys.shape[2]
        self.keys[:, :, self.length : end] = keys
        self.values[:, :, self.length : end] = values
        self.length = end


class KeyValueCache:
    """Grows by the keys and values of each forward pass, block by block.

    All rows are equally long; what is padding in them is said by the attention mask of each call. Rows can be
    dropped, reordered and copied, and the last pieces taken back.

    n_layer (int): Number of blocks.
    capacity (int): Pieces to allocate memory for at once; beyond it the cache grows.
    """

    def __init__(self, n_layer: int, *, capacity: int = 0) -> None:
        self.capacity = capacity
        self._layers: list[_Layer | None] = [None] * n_layer

    def __len__(self) -> int:
        """RETURNS (int): Number of blocks."""
        return len(self._layers)

    def __getitem__(self, layer: int) -> tuple[Tensor, Tensor]:
        """RETURNS (tuple[Tensor, Tensor]): Keys and values. Shapes (batch, n_head, length, head_dim)."""
        held = self._layers[layer]
        if held is None:
            raise IndexError(f"The cache holds nothing for block {layer} yet.")
        return held.used()

    @property
    def length(self) -> int:
        """RETURNS (int): Number of cached pieces per row, padding included."""
        return 0 if self._layers[0] is None else self._layers[0].length

    @property
    def batch(self) -> int:
        """RETURNS (int): Number of rows; 0 while the cache is empty."""
        return 0 if self._layers[0] is None else self._layers[0].keys.shape[0]

    @property
    def n_bytes(self) -> int:
        """RETURNS (int): Memory of keys and values, room at the end included."""
        return sum(layer.keys.nbytes + layer.values.nbytes for layer in self._layers if layer is not None)

    def update(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append to one block.

        keys, values (Tensor): Of the new pieces. Shape (batch, n_head, new, head_dim).
        RETURNS (tuple[Tensor, Tensor]): All keys and values. Shape (batch, n_head, length, head_dim).
        """
        held = self._layers[layer]
        if held is not None and held.has_room(keys.shape[2]):
            held.write(keys, values)
        else:
            held = self._layers[layer] = self._grow(held, keys, values)
        return held.used()

    def select(self, rows: Tensor) -> None:
        """Keep these rows, in this order; a row may be named more than once.

        rows (Tensor): Numbers of rows. Shape (new batch,).
        """
        self._layers = [_selected(layer, rows) for layer in self._layers]

    def fork(self, rows: Tensor) -> Self:
        """A cache of its own with these rows; this one stays as it is. A prompt that was computed once (one row)
        is continued n times with `fork(torch.zeros(n, dtype=torch.long))`.

        rows (Tensor): Numbers of rows. Shape (new batch,).
        RETURNS (KeyValueCache): The copy.
        """
        copy = type(self)(len(self), capacity=self.capacity)
        copy._layers = [_selected(layer, rows) for layer in self._layers]
        return copy

    def crop(self, length: int) -> None:
        """Forget the pieces from `length` on.

        RAISES (ValueError): The cache holds fewer.
        """
        if not 0 <= length <= self.length:
            raise ValueError(f"Expected a length from 0 to the cache's {self.length}, got {length}.")
        for layer in self._layers:
            if layer is not None:
                layer.length = length

    def rearrange(self, places: Tensor) -> None:
        """Keep, in each row, the pieces at these places, in this order.

        places (Tensor): Shape (batch, new length).
        """
        for layer in self._layers:
            if layer is not None:
                wanted = places[:, None, :, None].expand(-1, layer.keys.shape[1], -1, layer.keys.shape[3])
                layer.keys, layer.values = layer.keys.gather(2, wanted), layer.values.gather(2, wanted)
                layer.length = places.shape[1]

    def _grow(self, held: _Layer | None, keys: Tensor, values: Tensor) -> _Layer:
        """RETURNS (_Layer): What was held and the new pieces, in new memory."""
        if held is None and keys.shape[2] >= self.capacity:
            return _Layer(keys, values, keys.shape[2])
        if torch.is_grad_enabled():
            old = (keys[:, :, :0], values[:, :, :0]) if held is None else held.used()
            both = [torch.cat(pair, dim=2) for pair in zip(old, (keys, values), strict=True)]
            return _Layer(both[0], both[1], both[0].shape[2])
        needed = (0 if held is None else held.length) + keys.shape[2]
        capacity = self.capacity if needed <= self.capacity else needed + ROOM
        grown = _Layer(_room_for(keys, capacity), _room_for(values, capacity), 0)
        if held is not None:
            grown.write(*held.used())
        grown.write(keys, values)
        return grown


def _room_for(like: Tensor, capacity: int) -> Tensor:
    batch, n_head, _, head_dim = like.shape
    return like.new_empty(batch, n_head, capacity, head_dim)


def _selected(layer: _Layer | None, rows: Tensor) -> _Layer | None:
    if layer is None:
        return None
    # The room comes along, so that the next step can write into it.
    return _Layer(layer.keys.index_select(0, rows), layer.values.index_select(0, rows), layer.length)
