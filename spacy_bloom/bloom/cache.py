"""Keys and values of the pieces that were already computed."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from typing_extensions import Self

from ..config import BloomConfig
from ..errors import InputError

# Extra room that is allocated, in pieces and as a fraction of what is needed, so that most steps copy nothing.
MIN_ROOM, ROOM = 16, 0.125


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
        """RETURNS (bool): Whether new pieces can be written in place. Not with gradients, which may need them."""
        if torch.is_grad_enabled() or self.keys.requires_grad:
            return False
        writable = torch.is_inference_mode_enabled() or not self.keys.is_inference()
        return writable and self.length + new <= self.keys.shape[2]

    def write(self, keys: Tensor, values: Tensor) -> None:
        """Write behind what is in use."""
        end = self.length + keys.shape[2]
        self.keys[:, :, self.length : end] = keys
        self.values[:, :, self.length : end] = values
        self.length = end


class KeyValueCache:
    """Grows by the keys and values of each forward pass, block by block.

    All rows are equally long; the attention mask of each call says what is padding. Rows can be dropped, reordered and
    copied, and the last pieces taken back.

    n_layer (int): Number of blocks.
    capacity (int): Pieces to allocate memory for; beyond that the cache grows.
    """

    def __init__(self, n_layer: int, *, capacity: int = 0) -> None:
        self.capacity = capacity
        self._layers: list[_Layer | None] = [None] * n_layer

    @classmethod
    def of(cls, past: Any, config: BloomConfig) -> Self:
        """Take the keys and values that another model returned: a cache, or those of Hugging Face.

        past (Any): A KeyValueCache; or pairs of keys and values by block, each of shape (batch, n_head, length,
            head_dim), in a tuple or in one of transformers' caches.
        config (BloomConfig): The model's config.
        RETURNS (KeyValueCache): The same cache, or a new one with these pairs, which are not changed.
        RAISES (InputError): It is something else, or of another geometry.
        """
        if isinstance(past, cls):
            return past
        pairs = past.to_legacy_cache() if hasattr(past, "to_legacy_cache") else past
        try:
            layers = [_Layer(keys, values, keys.shape[2]) for keys, values in pairs]
            shapes = {tuple(x.shape) for layer in layers for x in (layer.keys, layer.values)}
        except (TypeError, ValueError, AttributeError, IndexError):
            layers, shapes = [], set()
        shape = next(iter(shapes), ())
        if (len(layers), len(shapes), shape[1::2]) != (config.n_layer, 1, (config.n_head, config.head_dim)):
            raise InputError(
                f"Expected past_key_values as a KeyValueCache or as {config.n_layer} pairs of keys and values of one "
                f"shape (batch, {config.n_head}, length, {config.head_dim}); got {type(past).__name__} of "
                f"{len(layers)} pairs with shapes {sorted(shapes)[:4]}."
            )
        cache = cls(config.n_layer)
        cache._layers = [*layers]
        return cache

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
        self._layers = [self._selected(layer, rows) for layer in self._layers]

    def fork(self, rows: Tensor, *, room: int = 0) -> Self:
        """Copy rows to a new cache. A prompt that was computed once (one row) is continued n times with
        `fork(torch.zeros(n, dtype=torch.long))`.

        rows (Tensor): Numbers of rows. Shape (new batch,).
        room (int): Pieces that will follow, if known; else 0.
        RETURNS (KeyValueCache): The copy.
        """
        copy = type(self)(len(self), capacity=self.length + room if room else self.capacity)
        copy._layers = [copy._selected(layer, rows) for layer in self._layers]
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
        if torch.is_grad_enabled():
            if held is None:
                return _Layer(keys, values, keys.shape[2])
            both = [torch.cat(pair, dim=2) for pair in zip(held.used(), (keys, values), strict=True)]
            return _Layer(both[0], both[1], both[0].shape[2])
        length = 0 if held is None else held.length
        grown = self._with_room(keys, keys.shape[0], length + keys.shape[2])
        # The first pieces are copied too: they are part of a projection that would stay in memory.
        for part in ((keys, values),) if held is None else (held.used(), (keys, values)):
            grown.write(*part)
        return grown

    def _with_room(self, like: Tensor, batch: int, needed: int) -> _Layer:
        """RETURNS (_Layer): An empty layer with room for the needed pieces and some more."""
        capacity = self.capacity if needed <= self.capacity else needed + max(MIN_ROOM, int(needed * ROOM))
        shape = (batch, like.shape[1], capacity, like.shape[3])
        return _Layer(like.new_empty(shape), like.new_empty(shape), 0)

    def _selected(self, layer: _Layer | None, rows: Tensor) -> _Layer | None:
        if layer is None:
            return None
        rows = rows.to(layer.keys.device)
        keys, values = layer.used()
        if torch.is_grad_enabled():
            return _Layer(keys.index_select(0, rows), values.index_select(0, rows), layer.length)
        selected = self._with_room(keys, len(rows), layer.length)
        selected.length = layer.length
        for old, new in zip((keys, values), selected.used(), strict=True):
            torch.index_select(old, 0, rows, out=new)
        return selected
