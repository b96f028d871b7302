"""Keys and values of the pieces that were already computed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import torch
from torch import Tensor
from torch.utils._pytree import register_pytree_node
from typing_extensions import Self

from .cache_methods import DynamicCacheMethods, Pair

# Extra room that is allocated, in pieces and as a fraction of what is needed, so that most steps copy nothing.
MIN_ROOM, ROOM = 16, 0.125


@dataclass(eq=False)
class _Memory:
    """Keys and values of one block, with room at the end.

    keys, values (Tensor): Shape (batch, n_head, capacity, head_dim).
    filled (int): Pieces that have been written.
    shared (bool): Whether several caches see it.
    """

    keys: Tensor
    values: Tensor
    filled: int
    shared: bool = False


@dataclass(eq=False)
class _Layer:
    """What a cache sees of a memory.

    length (int): Pieces in use, the first.
    """

    memory: _Memory
    length: int

    @classmethod
    def of(cls, keys: Tensor, values: Tensor, length: int) -> Self:
        return cls(_Memory(keys, values, length), length)

    def used(self) -> Pair:
        return self.memory.keys[:, :, : self.length], self.memory.values[:, :, : self.length]

    def has_room(self, new: int) -> bool:
        """RETURNS (bool): Whether new pieces can be written in place. Not with gradients, which may need them, and not
        where another cache has written.
        """
        keys = self.memory.keys
        if torch.is_grad_enabled() or keys.requires_grad:
            return False
        writable = torch.is_inference_mode_enabled() or not keys.is_inference()
        return writable and self.length == self.memory.filled and self.length + new <= keys.shape[2]

    def write(self, keys: Tensor, values: Tensor) -> None:
        """Write behind what is in use."""
        end = self.length + keys.shape[2]
        self.memory.keys[:, :, self.length : end] = keys
        self.memory.values[:, :, self.length : end] = values
        self.length = self.memory.filled = end

    def crop(self, length: int) -> None:
        """Forget the pieces from `length` on. They may be written over if nobody else sees them."""
        self.length = length
        if not self.memory.shared:
            self.memory.filled = length

    def branch(self) -> "_Layer":
        """RETURNS (_Layer): Another that sees the same pieces. Either may go on; the second to do so copies."""
        self.memory.shared = True
        return _Layer(self.memory, self.length)


class KeyValueCache(DynamicCacheMethods):
    """Grows by the keys and values of each forward pass, block by block.

    All rows are equally long; the attention mask of each call says what is padding. Rows can be dropped, reordered and
    copied, and the last pieces taken back.

    A cache that a caller made grows in place. One that a call returned because it was given none stays as it is when
    it is passed on, so that several texts can go on from it, as from the tuples that Hugging Face's BLOOM returns: each
    call returns a branch, and branches share what they have in common.

    n_layer (int): Number of blocks.
    capacity (int): Pieces to allocate memory for; beyond that the cache grows.
    stays (bool): Whether calls that it is passed to leave it as it is.
    """

    def __init__(self, n_layer: int, *, capacity: int = 0, stays: bool = False) -> None:
        self.capacity = capacity
        self.stays = stays
        self._layers: list[_Layer | None] = [None] * n_layer

    @classmethod
    def holding(cls, pairs: Sequence[Pair], *, stays: bool = False) -> Self:
        """RETURNS (KeyValueCache): With these keys and values, which are neither copied nor changed."""
        cache = cls(len(pairs), stays=stays)
        cache._layers = [_Layer.of(keys, values, keys.shape[2]) for keys, values in pairs]
        return cache

    def branch(self) -> Self:
        """RETURNS (KeyValueCache): One that goes on from here and leaves this as it is. Nothing is copied."""
        branch = type(self)(len(self), capacity=self.capacity, stays=self.stays)
        branch._layers = [None if layer is None else layer.branch() for layer in self._layers]
        return branch

    def __len__(self) -> int:
        """RETURNS (int): Number of blocks."""
        return len(self._layers)

    @overload
    def __getitem__(self, layer: int) -> Pair: ...

    @overload
    def __getitem__(self, layer: slice) -> tuple[Pair, ...]: ...

    def __getitem__(self, layer: int | slice) -> Pair | tuple[Pair, ...]:
        """RETURNS (tuple[Tensor, Tensor]): Keys and values; of several blocks a tuple of such. Shapes (batch, n_head,
        length, head_dim).
        """
        if isinstance(layer, slice):
            return tuple(self)[layer]
        held = self._layers[layer]
        if held is None:
            raise IndexError(f"The cache holds nothing for block {layer} yet.")
        return held.used()

    def __iter__(self) -> Iterator[Pair]:
        """YIELDS (tuple[Tensor, Tensor]): Keys and values of each block that has some."""
        return (layer.used() for layer in self._layers if layer is not None)

    @property
    def length(self) -> int:
        """RETURNS (int): Number of cached pieces per row, padding included."""
        return 0 if self._layers[0] is None else self._layers[0].length

    @property
    def batch(self) -> int:
        """RETURNS (int): Number of rows; 0 while the cache is empty."""
        return 0 if self._layers[0] is None else self._layers[0].memory.keys.shape[0]

    @property
    def n_bytes(self) -> int:
        """RETURNS (int): Memory of keys and values, room at the end included."""
        return sum(
            layer.memory.keys.nbytes + layer.memory.values.nbytes
            for layer in self._layers
            if layer is not None
        )

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """RETURNS (int): Number of cached pieces per row, padding included."""
        held = self._layers[layer_idx] if self._layers else None
        return 0 if held is None else held.length

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        layer_idx: int,
        cache_kwargs: dict[str, Any] | None = None,
    ) -> Pair:
        """Append to one block.

        key_states, value_states (Tensor): Of the new pieces. Shape (batch, n_head, new, head_dim).
        layer_idx (int): The block.
        cache_kwargs (dict[str, Any] | None): Of Hugging Face's caches; not used.
        RETURNS (tuple[Tensor, Tensor]): All keys and values. Shape (batch, n_head, length, head_dim).
        """
        held = self._layers[layer_idx]
        if held is not None and held.has_room(key_states.shape[2]):
            held.write(key_states, value_states)
        else:
            held = self._layers[layer_idx] = self._grow(held, key_states, value_states)
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
        """Forget the pieces from `length` on; with a negative one, the last so many.

        RAISES (ValueError): The cache holds fewer.
        """
        length = self.length + length if length < 0 else length
        if not 0 <= length <= self.length:
            raise ValueError(f"Expected a length from 0 to the cache's {self.length}, got {length}.")
        for layer in self._layers:
            if layer is not None:
                layer.crop(length)

    def rearrange(self, places: Tensor) -> None:
        """Keep, in each row, the pieces at these places, in this order.

        places (Tensor): Shape (batch, new length).
        """
        for i, layer in enumerate(self._layers):
            if layer is not None:
                keys, values = layer.memory.keys, layer.memory.values
                wanted = places[:, None, :, None].expand(-1, keys.shape[1], -1, keys.shape[3])
                self._layers[i] = _Layer.of(keys.gather(2, wanted), values.gather(2, wanted), places.shape[1])

    def _grow(self, held: _Layer | None, keys: Tensor, values: Tensor) -> _Layer:
        """RETURNS (_Layer): What was held and the new pieces, in new memory."""
        if torch.is_grad_enabled():
            if held is None:
                return _Layer.of(keys, values, keys.shape[2])
            both = [torch.cat(pair, dim=2) for pair in zip(held.used(), (keys, values), strict=True)]
            return _Layer.of(both[0], both[1], both[0].shape[2])
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
        return _Layer.of(like.new_empty(shape), like.new_empty(shape), 0)

    def _selected(self, layer: _Layer | None, rows: Tensor) -> _Layer | None:
        if layer is None:
            return None
        rows = rows.to(layer.memory.keys.device)
        keys, values = layer.used()
        if torch.is_grad_enabled():
            return _Layer.of(keys.index_select(0, rows), values.index_select(0, rows), layer.length)
        selected = self._with_room(keys, len(rows), layer.length)
        selected.length = selected.memory.filled = layer.length
        for old, new in zip((keys, values), selected.used(), strict=True):
            torch.index_select(old, 0, rows, out=new)
        return selected


def _flatten(cache: KeyValueCache) -> tuple[list[Pair], tuple[int, bool]]:
    return list(cache), (len(cache), cache.stays)


def _unflatten(pairs: Any, context: tuple[int, bool]) -> KeyValueCache:
    n_layer, stays = context
    return KeyValueCache.holding(pairs, stays=stays) if pairs else KeyValueCache(n_layer, stays=stays)


# For torch.export, whose programs take and return the tensors of a cache.
register_pytree_node(
    KeyValueCache, _flatten, _unflatten, serialized_type_name=f"{KeyValueCache.__module__}.KeyValueCache"
)
