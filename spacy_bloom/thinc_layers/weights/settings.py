"""Which weights a model loads, in which dtypes, and in which direction it attends."""

from dataclasses import dataclass
from typing import Any

import torch

from ...checkpoint.directory import Checkpoint
from ...checkpoint.load import to_dtype
from ...checkpoint.quantized import find_quantization
from ...config import BloomConfig
from ...errors import CheckpointError, ConfigError

ATTENTIONS = ("causal", "bidirectional")


@dataclass(frozen=True)
class WeightSettings:
    """Which weights to load, and in which dtypes.

    name (str): Checkpoint: bundled, a directory, or on the Hub.
    revision (str | None): Branch, tag or commit on the Hub.
    dtype (str): Dtype to compute in; "auto" is the checkpoint's.
    storage_dtype (str | None): Dtype to write; None is the computing dtype.
    quantization (str | None): How to quantise float weights: "int8", "float16" or "bfloat16". A quantised checkpoint
        stays as it is.
    device_map (str | Mapping | None): Where layers go: "auto", or devices by modules; None for one device.
    RAISES (InputError): An unknown dtype. RAISES (ConfigError): An unknown quantisation.
    """

    name: str
    revision: str | None = None
    dtype: str = "float32"
    storage_dtype: str | None = None
    quantization: str | None = None
    device_map: Any = None

    def __post_init__(self) -> None:
        to_dtype(self.dtype), to_dtype(self.storage_dtype)
        if self.quantization is not None:
            find_quantization(self.quantization)

    @property
    def torch_dtype(self) -> torch.dtype | None:
        """RETURNS (torch.dtype | None): Dtype to compute in; None is the checkpoint's."""
        return to_dtype(self.dtype)

    @property
    def torch_storage_dtype(self) -> torch.dtype | None:
        """RETURNS (torch.dtype | None): Dtype to write; None is the computing dtype."""
        return to_dtype(self.storage_dtype)

    def read_config(self) -> BloomConfig | None:
        """RETURNS (BloomConfig | None): The checkpoint's config; None if it is not on this machine. A saved pipeline
        has weights of its own and does not need the checkpoint any more.
        """
        try:
            options = {"revision": self.revision, "local_files_only": True, "weights": False}
            return Checkpoint.find(self.name, **options).config
        except (CheckpointError, ConfigError):
            return None


@dataclass(frozen=True)
class AttentionSettings:
    """In which direction pieces attend.

    attention (str): "causal", as BLOOM was trained, or "bidirectional": a piece attends to what follows it too. This
        holds for one encoder; whoever generates on the same weights does so causally.
    bidirectional_layers (int | None): The last layers that are bidirectional; None for all.
    RAISES (ConfigError): Another attention, or layers that do not fit it.
    """

    attention: str = "causal"
    bidirectional_layers: int | None = None

    def __post_init__(self) -> None:
        layers = self.bidirectional_layers
        if self.attention not in ATTENTIONS:
            raise ConfigError(
                f"Expected attention to be one of {', '.join(ATTENTIONS)}, got {self.attention!r}."
            )
        if layers is not None and (not self.both_sides or layers < 1):
            raise ConfigError(
                'Expected bidirectional_layers of 1 or more with attention = "bidirectional", or null for all layers; '
                f"got {layers} with attention = {self.attention!r}."
            )

    @property
    def both_sides(self) -> bool:
        """RETURNS (bool): Whether pieces attend to what follows them, in some layers."""
        return self.attention == "bidirectional"

    def layers_of(self, n_layer: int) -> int:
        """RETURNS (int): How many of a model's last layers are bidirectional.
        RAISES (ConfigError): More than it has.
        """
        layers = self.bidirectional_layers
        if layers is not None and layers > n_layer:
            raise ConfigError(
                f"Expected bidirectional_layers of at most {n_layer}, the model's number of layers, got {layers}. "
                "Leave it out for all."
            )
        return (n_layer if layers is None else layers) if self.both_sides else 0
