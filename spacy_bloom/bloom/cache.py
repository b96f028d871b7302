"""Keys and values of the pieces that were already computed."""

import torch
from torch import Tensor


class KeyValueCache:
    """Grows by the keys and values of each forward pass, layer by layer.

    n_layer (int): Number of blocks.
    """

    def __init__(self, n_layer: int) -> None:
        self._keys: list[Tensor | None] = [None] * n_layer
        self._values: list[Tensor | None] = [None] * n_layer

    def __len__(self) -> int:
        """RETURNS (int): Number of blocks."""
        return len(self._keys)

    def __getitem__(self, layer: int) -> tuple[Tensor, Tensor]:
        """RETURNS (tuple[Tensor, Tensor]): Keys and values. Shapes (batch, n_head, length, head_dim)."""
        keys, values = self._keys[layer], self._values[layer]
        if keys is None or values is None:
            raise IndexError(f"The cache holds nothing for block {layer} yet.")
        return keys, values

    @property
    def length(self) -> int:
        """RETURNS (int): Number of cached pieces per row, padding included."""
        return 0 if self._keys[0] is None else self._keys[0].shape[2]

    def update(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append to one block.

        keys, values (Tensor): Of the new pieces. Shape (batch, n_head, new, head_dim).
        RETURNS (tuple[Tensor, Tensor]): All keys and values. Shape (batch, n_head, length, head_dim).
        """
        old_keys, old_values = self._keys[layer], self._values[layer]
        if old_keys is not None and old_values is not None:
            keys = torch.cat((old_keys, keys), dim=2)
            values = torch.cat((old_values, values), dim=2)
        self._keys[layer], self._values[layer] = keys, values
        return keys, values
