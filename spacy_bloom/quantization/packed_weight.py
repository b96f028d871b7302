"""What a kernel makes of a weight, kept beside it."""

from collections.abc import Callable
from typing import Any

from torch import Tensor


class PackedWeight:
    """Made when it is first asked for, and again when the weight is another. It is neither copied nor saved.

    make (Callable): From the weight and what belongs to it to what the kernel reads; a function of a module.
    """

    def __init__(self, make: Callable[..., Any]) -> None:
        self.make = make
        self._made: tuple[list[tuple[int, int]], Any] | None = None

    def of(self, *weights: Tensor) -> Any:
        """RETURNS (Any): What `make` returns for these tensors."""
        state = [(weight.data_ptr(), weight._version) for weight in weights]
        if self._made is None or self._made[0] != state:
            self._made = (state, self.make(*(weight.detach() for weight in weights)))
        return self._made[1]

    def __deepcopy__(self, memo: dict) -> "PackedWeight":
        return PackedWeight(self.make)

    def __reduce__(self) -> tuple[type, tuple]:
        return PackedWeight, (self.make,)
