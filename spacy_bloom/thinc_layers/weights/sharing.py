"""One copy of the weights in memory for a transformer and all components that only read equal ones.

Every holder has a module of its own, with its own parameters, gradients and mode; only the memory under the
parameters is shared. A transformer that is about to learn takes a copy first. Weights are equal if they come from
equal files: reading those again costs less than comparing mapped weights, which would bring them into memory.
"""

import logging
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...bloom.model import BloomModel
from ...checkpoint.directory import Checkpoint
from ...checkpoint.files import TensorSource, WeightSource
from ...checkpoint.names import decoder_shapes
from ...config import BloomConfig
from ...finetuning.lora import base_weights
from ...parallel.pipelines import load_for_pipeline, spread_of
from .settings import WeightSettings

logger = logging.getLogger(__name__)

CHUNK = 2**22  # bytes of two files that are compared at a time


@dataclass(frozen=True)
class WeightFile:
    """A file as it was when it was read."""

    path: Path
    size: int
    changed: int  # in nanoseconds

    @classmethod
    def at(cls, path: Path) -> "WeightFile":
        """RETURNS (WeightFile): The file as it is now."""
        found = path.resolve().stat()
        return cls(path.resolve(), found.st_size, found.st_mtime_ns)

    def holds_the_same_as(self, other: "WeightFile") -> bool:
        """RETURNS (bool): Whether both files hold the same bytes, and have not changed since they were read."""
        if self == other:
            return True
        if self.size != other.size or self.path == other.path:
            return False
        if WeightFile.at(self.path) != self or WeightFile.at(other.path) != other:
            return False
        with self.path.open("rb") as one, other.path.open("rb") as two:
            return all(one.read(CHUNK) == two.read(CHUNK) for _ in range(0, self.size, CHUNK))


@dataclass(frozen=True)
class Origin:
    """Where weights come from, and how they were loaded."""

    files: tuple[WeightFile, ...]
    dtype: torch.dtype | None
    device: str
    quantization: str | None
    spread: str | None = None  # over processes or devices

    def gives_the_same_as(self, other: "Origin") -> bool:
        """RETURNS (bool): Whether weights from here are equal to weights from there."""
        became = (self.dtype, self.device, self.quantization, self.spread, len(self.files))
        if became != (other.dtype, other.device, other.quantization, other.spread, len(other.files)):
            return False
        try:
            return all(a.holds_the_same_as(b) for a, b in zip(self.files, other.files, strict=True))
        except OSError:  # a file that was read is gone
            return False


_learners: "weakref.WeakKeyDictionary[nn.Module, Origin]" = weakref.WeakKeyDictionary()  # may be trained
_readers: "weakref.WeakKeyDictionary[nn.Module, Origin]" = weakref.WeakKeyDictionary()  # nobody changes them


class HeldParts(TensorSource):
    """A decoder's weights that another model holds, loaded in the way that holds now: a rank's parts of them where they
    are divided, under the shapes of the whole.

    config (BloomConfig): The geometry.
    parts (Mapping[str, Tensor]): The parts by name.
    """

    def __init__(self, config: BloomConfig, parts: Mapping[str, Tensor]) -> None:
        super().__init__(parts)
        self._shapes = decoder_shapes(config)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """RETURNS (dict[str, tuple[int, ...]]): Shapes of the whole weights by name."""
        return self._shapes

    def part(self, name: str, slices: tuple[slice, ...]) -> Tensor:
        """RETURNS (Tensor): The part that is here."""
        return self[name]


def load_shared(
    make: Any, checkpoint: Checkpoint, weights: WeightSettings, *, device: torch.device, read_only: bool
) -> Any:
    """Load a model. If equal weights are in memory already, they are shared where possible.

    make (type[PretrainedMixin]): The model's class.
    checkpoint (Checkpoint): What to load.
    weights (WeightSettings): The dtype to compute in, and how to quantise weights that are in float.
    read_only (bool): Whether nobody trains the model. Two models that can be trained share nothing.
    RETURNS (PretrainedMixin): The model.
    """
    config, dtype = checkpoint.config, weights.torch_dtype
    quantization = weights.quantization if checkpoint.quantization is None else None
    files = tuple(map(WeightFile.at, checkpoint.weight_files))
    spread = spread_of(weights.device_map)
    origin = Origin(files, dtype, str(device), quantization, spread)
    shares = weights.device_map is None  # what accelerate brings and takes away is nobody else's
    holder = _holder_of(origin) if shares and read_only and config.tie_word_embeddings else None
    source: WeightSource
    if holder is None:
        source = checkpoint.weights
    else:
        logger.debug("%s: equal weights are in memory and are shared", checkpoint.path)
        # What was quantised in memory is described there alone.
        config = config.replace(extra={**holder.config.extra, **config.extra})
        source = HeldParts(config, {name: p.data for name, p in base_weights(holder).items()})
    model = load_for_pipeline(
        make,
        config,
        source,
        dtype=dtype,
        device=device,
        quantization=quantization,
        device_map=weights.device_map,
        adapters=None if checkpoint.adapter is None else str(checkpoint.path),
    )
    model._read_more(checkpoint)
    if shares:
        _hold(model, origin, read_only=read_only)
    return model


def _holder_of(origin: Origin) -> BloomModel | None:
    """RETURNS (BloomModel | None): A decoder in memory with the weights that the origin gives."""
    for module, other in [*_learners.items(), *_readers.items()]:
        if other.gives_the_same_as(origin):
            return _decoder(module)
    return None


def _hold(module: nn.Module, origin: Origin, *, read_only: bool) -> None:
    """Make a module's weights known. Readers with equal weights in memory of their own switch to a learner's memory."""
    if read_only:
        _readers[module] = origin
        return
    weights = {name: parameter.data for name, parameter in base_weights(_decoder(module)).items()}
    shared = {parameter.data_ptr() for other in _learners for parameter in _decoder(other).parameters()}
    for reader, other in list(_readers.items()):
        theirs = base_weights(_decoder(reader))
        free = shared.isdisjoint(parameter.data_ptr() for parameter in theirs.values())
        if free and theirs.keys() == weights.keys() and other.gives_the_same_as(origin):
            for name, parameter in theirs.items():
                parameter.data = weights[name]
    _learners[module] = origin


def own_weights(module: nn.Module) -> None:
    """Copy the weights of a module that is about to learn, if a reader uses the same memory."""
    if _learners.pop(module, None) is None:
        return
    used = {parameter.data_ptr() for reader in _readers for parameter in _decoder(reader).parameters()}
    copied = [p for p in _decoder(module).parameters() if p.data_ptr() in used]
    for parameter in copied:
        parameter.data = parameter.data.clone()
    logger.debug("A transformer learns: %d of its weights were shared and are copied", len(copied))


def _decoder(module: nn.Module) -> BloomModel:
    decoder = module if isinstance(module, BloomModel) else module.get_submodule("transformer")
    assert isinstance(decoder, BloomModel)
    return decoder
