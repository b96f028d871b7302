"""From a checkpoint's name to a model and back: what BLOOM's classes have in common."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from typing_extensions import Self

from ..config import ALIASES, BloomConfig
from ..errors import InputError
from ..files import replacing_together, write_file
from .directory import Checkpoint
from .files import CONFIG_FILE, WeightFiles
from .load import LoadableModel, Placement, first_blocks, load_model, to_dtype
from .names import TIED
from .writing import MAX_SHARD_SIZE, describe, save_weights


class PretrainedMixin(LoadableModel):
    """`from_pretrained` and `save_pretrained`.

    config (BloomConfig): The geometry.
    """

    config: BloomConfig

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike,
        *,
        dtype: torch.dtype | str | None = torch.float32,
        device: str | torch.device = "cpu",
        placement: Placement | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        config: BloomConfig | None = None,
        num_layers: int | None = None,
        quantization: str | None = None,
        **changes: Any,
    ) -> Self:
        """Load a checkpoint. Weights whose dtype fits are mapped into memory. Adapters that a pipeline was trained with
        are not loaded; a warning says so.

        name (str | PathLike): Bundled name, directory in the Hugging Face layout, or Hub name.
        dtype (torch.dtype | str | None): Dtype of the weights; "auto" keeps the files'.
        device (str | torch.device): Where to put them.
        placement (Placement | None): The part of each weight to load and its device, instead of device.
        revision (str | None): Branch, tag or commit on the Hub.
        local_files_only (bool): Make no network call.
        config (BloomConfig | None): Instead of the checkpoint's `config.json`.
        num_layers (int | None): Load the first blocks only; the weights of the others are not read.
        quantization (str | None): "int8" quantises float weights, "float16" and "bfloat16" keep them in 16 bits and
            compute in float32; see `quantization`. A checkpoint that holds integers is loaded as it is.
        **changes: Fields of the config to change, for example `num_labels=5` for a new head.
        RETURNS (Self): The model in evaluation mode.
        RAISES (CheckpointError): No such checkpoint, or weights that are not what the config says.
        RAISES (ConfigError): A damaged config.
        RAISES (InputError): More num_layers than there are, an unknown dtype, or an unknown field of the config.
        """
        _check_changes(changes)
        checkpoint = Checkpoint.find(name, revision=revision, local_files_only=local_files_only)
        checkpoint.warn_of_adapter()
        config = checkpoint.config if config is None else config
        config, is_kept = first_blocks(config.replace(**changes) if changes else config, num_layers)
        model = load_model(
            cls,
            config,
            WeightFiles(checkpoint.path, wanted=is_kept),
            dtype=to_dtype(dtype),
            device=device,
            placement=placement,
            quantization=quantization,
        )
        model._read_more(checkpoint)
        return model

    def save_pretrained(
        self,
        path: str | os.PathLike,
        *,
        dtype: torch.dtype | str | None = None,
        max_shard_size: int | str = MAX_SHARD_SIZE,
    ) -> None:
        """Write config and weights in the Hugging Face layout, as safetensors.

        path (str | PathLike): Directory, made if it does not exist.
        dtype (torch.dtype | str | None): Dtype of the weights in the files; None keeps the model's.
        max_shard_size (int | str): Bytes, or text such as "500MB" or "2GiB". Larger models are written as
            shards with an index.
        """
        weights, kind = self.state_dict(), type(self).__name__
        stored = to_dtype(dtype) or next(w.dtype for w in weights.values() if w.is_floating_point())
        save_checkpoint(Path(path), self.config, weights, kind, dtype=stored, max_shard_size=max_shard_size)
        with replacing_together(Path(path)) as create:
            self._write_more(Path(path), create)

    def _read_more(self, checkpoint: Checkpoint) -> None:
        """Read what a class keeps in further files."""

    def _write_more(self, path: Path, create: Callable[[str], Path]) -> None:
        """Write these files; see `replacing_together`."""


def save_checkpoint(
    path: Path,
    config: BloomConfig,
    weights: Mapping[str, Tensor],
    architecture: str,
    *,
    dtype: torch.dtype,
    max_shard_size: int | str = MAX_SHARD_SIZE,
) -> None:
    """Write the weights of a model and its config, without the model.

    path (Path): Directory, made if it does not exist.
    weights (Mapping[str, Tensor]): By the names that they have in the model.
    architecture (str): Name of the model's class.
    dtype, max_shard_size: As for `PretrainedMixin.save_pretrained`.
    """
    tied = TIED if config.tie_word_embeddings else ()
    weights = {name: value for name, value in weights.items() if name not in tied}
    save_weights(weights, path, dtype=dtype, max_shard_size=max_shard_size)
    write_file(path / CONFIG_FILE, describe(config, [architecture], dtype).to_json_string())


def _check_changes(changes: Mapping[str, Any]) -> None:
    """RAISES (InputError): Names that are not fields of the config, which would keep them without effect."""
    known = {*BloomConfig.__dataclass_fields__, *ALIASES, "num_labels", "label2id"}
    unknown = sorted(set(changes) - known)
    if unknown:
        raise InputError(
            f"Expected dtype, device, placement, revision, local_files_only, config, num_layers or fields of "
            f"BloomConfig; got {', '.join(unknown)}. (torch_dtype is dtype here, device_map is device.)"
        )
