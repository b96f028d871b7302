"""The methods of Hugging Face's caches on ours: the same memory, by the names that scripts for theirs use."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from typing_extensions import Self

Pair = tuple[Tensor, Tensor]


class DynamicCacheMethods:
    """What a cache can be asked besides.

    SOURCE: transformers' DynamicCache.
    """

    is_compileable = False

    @classmethod
    def from_legacy_cache(cls, past_key_values: Iterable[Pair] | None = None) -> Self:
        """RETURNS (KeyValueCache): With these keys and values, block by block. Shapes (batch, n_head, length,
        head_dim).
        """
        pairs = list(past_key_values or ())
        cache = cls(len(pairs))  # type: ignore[call-arg]
        for layer, (keys, values) in enumerate(pairs):
            cache.update(keys, values, layer)
        return cache

    def to_legacy_cache(self) -> tuple[Pair, ...]:
        """RETURNS (tuple[tuple[Tensor, Tensor], ...]): Keys and values by block: views of the memory of the cache."""
        return tuple(self)

    def __iter__(self) -> Iterator[Pair]:
        """YIELDS (tuple[Tensor, Tensor]): Keys and values of each block that has some."""
        raise NotImplementedError

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        layer_idx: int,
        cache_kwargs: dict[str, Any] | None = None,
    ) -> Pair:
        """See KeyValueCache."""
        raise NotImplementedError

    def select(self, rows: Tensor) -> None:
        """See KeyValueCache."""
        raise NotImplementedError

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """RETURNS (int): Number of cached pieces per row, padding included."""
        raise NotImplementedError

    def get_max_cache_shape(self) -> int | None:
        """RETURNS (None): It grows without limit."""
        return None

    get_max_length = get_max_cache_shape

    def get_usable_length(self, new_seq_length: int, layer_idx: int = 0) -> int:
        """RETURNS (int): As `get_seq_length`, as nothing is thrown away."""
        return self.get_seq_length(layer_idx)

    def get_mask_sizes(self, cache_position: Tensor, layer_idx: int = 0) -> tuple[int, int]:
        """RETURNS (tuple[int, int]): Number of keys once the new pieces are in, and the first of them, 0."""
        return self.get_seq_length(layer_idx) + cache_position.shape[0], 0

    @property
    def seen_tokens(self) -> int:
        """RETURNS (int): As `get_seq_length`."""
        return self.get_seq_length()

    @property
    def key_cache(self) -> list[Tensor]:
        """RETURNS (list[Tensor]): Keys by block."""
        return [keys for keys, _ in self]

    @property
    def value_cache(self) -> list[Tensor]:
        """RETURNS (list[Tensor]): Values by block."""
        return [values for _, values in self]

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Keep these rows, in this order. Shape (batch,)."""
        self.select(beam_idx)

    batch_select_indices = reorder_cache

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each row so many times, side by side."""
        keys, _ = next(iter(self))
        self.select(torch.arange(keys.shape[0]).repeat_interleave(repeats))

    def batch_split(self, full_batch_size: int, split_size: int) -> list[Self]:
        """RETURNS (list[KeyValueCache]): Copies of split_size rows each."""
        rows = torch.arange(full_batch_size).split(split_size)
        return [type(self).from_legacy_cache([(k[part], v[part]) for k, v in self]) for part in rows]

    @classmethod
    def from_batch_splits(cls, splits: Iterable["DynamicCacheMethods"]) -> Self:
        """RETURNS (KeyValueCache): The rows of all."""
        blocks = zip(*splits, strict=True)
        return cls.from_legacy_cache([_joined(pairs) for pairs in blocks])


def _joined(pairs: Iterable[Pair]) -> Pair:
    keys, values = zip(*pairs, strict=True)
    return torch.cat(keys), torch.cat(values)
