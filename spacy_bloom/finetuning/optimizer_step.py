"""One step of an optimizer over torch weights of any dtype."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

# From a weight's name, the weight, its gradient and a factor of the learning rate to the new weight; all in float32.
# The gradient of an embedding may be sparse.
Optimize = Callable[[str, Tensor, Tensor, float], Tensor]


class OptimizerStep:
    """Updates weights by their gradients. The optimizer works in float32: a weight of fewer bits is rounded from a
    float32 copy, which keeps changes too small for the weight itself.

    Learning rates are scaled per weight, not gradients: Adam divides by the size of the gradient, so scaling it would
    change nothing.
    """

    def __init__(self) -> None:
        self._copies: dict[str, Tensor] = {}

    def __call__(self, weights: Iterable[tuple[str, nn.Parameter, float]], optimize: Optimize) -> None:
        """Update every weight that has a gradient, and let go of the gradient: the next step's activations can have its
        memory.

        weights (Iterable[tuple[str, Parameter, float]]): Name, weight, and factor of its learning rate.
        optimize (Callable): See `Optimize`.
        """
        for name, weight, factor in weights:
            if weight.grad is None:
                continue
            if weight.dtype == torch.float32:
                weight.data = optimize(name, weight.data, weight.grad, factor)
            else:
                exact = self._copies.setdefault(name, weight.data.float())
                exact.copy_(optimize(name, exact, weight.grad.float(), factor))
                weight.data.copy_(exact)
            weight.grad = None
