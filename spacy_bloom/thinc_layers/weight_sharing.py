"""One copy of the weights in memory for a transformer and all components that only read equal ones.

Every holder has a module of its own, with its own parameters, gradients and mode; only the memory under the
parameters is one. A transformer that is about to learn takes a copy first.
"""

import weakref

import torch
from torch import Tensor, nn

from ..bloom.model import BloomModel

_learners: "weakref.WeakSet[nn.Module]" = weakref.WeakSet()  # whose weights may be trained
_readers: "weakref.WeakSet[nn.Module]" = weakref.WeakSet()  # whose weights nobody changes


def share_weights(module: nn.Module, *, read_only: bool) -> None:
    """Put equal weights into one place in memory: a reader's into that of any other module, those of readers into
    a learner's. Two learners share nothing.

    Only weights of one geometry, dtype and device are compared, up to the first that differs.

    module (Module): A BloomModel, or a model with one as `transformer`. A head of its own is not shared.
    read_only (bool): Whether nobody changes the module.
    """
    others = [*_learners, *_readers] if read_only else list(_readers)
    for other in others:
        if other is not module and _equal(_weights(module), _weights(other)):
            if read_only:
                return _join(module, other)
            _join(other, module)
    (_readers if read_only else _learners).add(module)


def _join(reader: nn.Module, other: nn.Module) -> None:
    """Let a reader use the memory of another module."""
    _readers.add(reader)
    weights = _weights(other)
    for name, parameter in _decoder(reader).named_parameters():
        parameter.data = weights[name]


def own_weights(module: nn.Module) -> None:
    """Copy the weights of a module, if another one uses the same memory: it is about to change them."""
    if module not in _learners:
        return
    _learners.discard(module)
    used = {weight.data_ptr() for reader in list(_readers) for weight in _weights(reader).values()}
    for parameter in _decoder(module).parameters():
        if parameter.data_ptr() in used:
            parameter.data = parameter.data.clone()


def _decoder(module: nn.Module) -> nn.Module:
    return module if isinstance(module, BloomModel) else module.get_submodule("transformer")


def _weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.data for name, parameter in _decoder(module).named_parameters()}


def _equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    def alike(a: Tensor, b: Tensor) -> bool:
        return (a.shape, a.dtype, a.device) == (b.shape, b.dtype, b.device)

    return (
        one.keys() == other.keys()
        and all(alike(one[name], other[name]) for name in one)
        and all(
            one[name].data_ptr() == other[name].data_ptr() or torch.equal(one[name], other[name])
            for name in one
        )
    )
