"""From a checkpoint's name to a model and back: what BLOOM's classes have in common."""

import copy
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..config import BloomConfig
from ..errors import InputError
from ..files import replacing_together, write_file
from .arguments import one_device, refuse, take_arguments
from .directory import Checkpoint
from .files import CONFIG_FILE, TensorSource, WeightFiles
from .load import SPREADS, LoadableModel, Placement, first_blocks, load_model, to_dtype
from .loading_info import LoadingInfo
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
        pretrained_model_name_or_path: str | os.PathLike | None,
        *,
        dtype: torch.dtype | str | None = torch.float32,
        device: str | torch.device = "cpu",
        placement: Placement | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        config: Any = None,
        num_layers: int | None = None,
        quantization: str | None = None,
        tensor_parallel: bool = False,
        device_map: Any = None,
        max_memory: Mapping[int | str, int | str] | None = None,
        use_safetensors: bool | None = None,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: bool = False,
        state_dict: Mapping[str, Tensor] | None = None,
        **changes: Any,
    ) -> Any:
        """Load a checkpoint. Weights whose dtype fits are mapped into memory. Adapters that a pipeline was trained with
        are not loaded; a warning says so.

        pretrained_model_name_or_path (str | PathLike | None): Bundled name, directory in the Hugging Face layout, or
            Hub name; None with config and state_dict.
        dtype (torch.dtype | str | None): Dtype of the weights; "auto" keeps the files'. Also as torch_dtype.
        device (str | torch.device): Where to put them.
        placement (Placement | None): The part of each weight to load and its device, instead of device.
        revision (str | None): Branch, tag or commit on the Hub.
        local_files_only (bool): Make no network call.
        config (BloomConfig | str | PathLike | None): Instead of the checkpoint's `config.json`: a config, which is
            copied, or where it is.
        num_layers (int | None): Load the first blocks only; the weights of the others are not read.
        quantization (str | None): "int8" quantises float weights, "float16" and "bfloat16" keep them in 16 bits and
            compute in float32; see `quantization`. A checkpoint that holds integers is loaded as it is.
        tensor_parallel (bool): Load this process's part of a model that is divided among those that torchrun started.
        device_map (Any): A device for all; "auto", or devices by modules: GPUs, "cpu", "disk"; see `parallel.devices`.
        max_memory (Mapping | None): Memory by device that "auto" may use.
        use_safetensors (bool | None): Read safetensors only, or `.bin` files only.
        ignore_mismatched_sizes (bool): Start weights of other shapes from random ones, with a warning.
        output_loading_info (bool): Return what was missing, unexpected and misshapen as well.
        state_dict (Mapping[str, Tensor] | None): Weights by name, instead of a checkpoint's.
        **changes: Fields of the config to change, for example `num_labels=5` for a new head; and where on the Hub:
            cache_dir, token, force_download, subfolder, variant.
        RETURNS (Self | tuple[Self, dict]): The model in evaluation mode; and what was not as expected.
        RAISES (CheckpointError): No such checkpoint, or weights that are not what the config says.
        RAISES (ConfigError): A damaged config.
        RAISES (InputError): More num_layers than there are, an unknown dtype, or an unknown field of the config.
        """
        where = take_arguments(changes)
        dtype = where.pop("torch_dtype", dtype)
        checkpoint = None
        if not os.path.isdir(pretrained_model_name_or_path or ""):  # before anything is downloaded
            _expect_fields(config if isinstance(config, BloomConfig) else BloomConfig(), changes)
        if state_dict is None or pretrained_model_name_or_path is not None:
            options = {"revision": revision, "local_files_only": local_files_only, **where}
            checkpoint = Checkpoint.find(_expect_name(pretrained_model_name_or_path, state_dict), **options)
            checkpoint.warn_of_adapter()
        config = _changed(_config_of(config, checkpoint), changes)
        config.name_or_path = pretrained_model_name_or_path or ""
        config, is_kept = first_blocks(config, num_layers)
        source: Any = TensorSource(state_dict or {})
        if checkpoint is not None:
            kind: dict[str, Any] = {"variant": where.get("variant"), "safetensors": use_safetensors}
            source = WeightFiles(checkpoint.path, wanted=is_kept, **kind)
        info = LoadingInfo.of(cls, config, source) if ignore_mismatched_sizes or output_loading_info else None
        if info is not None and ignore_mismatched_sizes:
            source = info.patched(source, config)
        load, place = _way(device, placement, tensor_parallel, device_map, max_memory)
        model = load(cls, config, source, dtype=to_dtype(dtype), quantization=quantization, **place)
        model.config.torch_dtype = model.dtype
        if checkpoint is not None:
            model._read_more(checkpoint)
        return (model, info.to_dict()) if info is not None and output_loading_info else model

    def save_pretrained(
        self,
        save_directory: str | os.PathLike,
        is_main_process: bool = True,
        state_dict: Mapping[str, Tensor] | None = None,
        save_function: Any = None,
        push_to_hub: bool = False,
        max_shard_size: int | str = MAX_SHARD_SIZE,
        safe_serialization: bool = True,
        variant: str | None = None,
        token: Any = None,
        save_peft_format: bool = True,
        *,
        dtype: torch.dtype | str | None = None,
    ) -> None:
        """Write config and weights in the Hugging Face layout, as safetensors. Of a model with adapters by
        `add_adapter` or `load_adapter`, the one in use is written alone, in peft's layout.

        save_directory (str | PathLike): Directory, made if it does not exist.
        is_main_process (bool): False writes nothing: of several processes, one writes.
        state_dict (Mapping[str, Tensor] | None): Weights by name, instead of the model's.
        max_shard_size (int | str): Bytes, or text such as "500MB" or "2GiB". Larger models are written as
            shards with an index.
        variant (str | None): Of the weights' files, for example "fp16" for `model.fp16.safetensors`.
        dtype (torch.dtype | str | None): Dtype of the weights in the files; None keeps the model's.
        save_peft_format (bool): Whether an adapter's weights are written by peft's names.
        save_function, token: Not used.
        RAISES (InputError): push_to_hub, no safe_serialization, or several adapters in use.
        """
        refuse({"push_to_hub": push_to_hub})
        if not safe_serialization:
            raise InputError(
                "Expected safe_serialization to be True: weights are written as safetensors, which hold no code and "
                "which every version of transformers since 4.26 reads."
            )
        if not is_main_process:
            return
        path, kind, given = Path(save_directory), type(self).__name__, to_dtype(dtype)
        beside: dict[str, Any] = {"dtype": given, "variant": variant, "peft_format": save_peft_format}
        if not self._save_adapter(path, state_dict, **beside):
            weights = self.state_dict() if state_dict is None else state_dict
            stored = given or next(w.dtype for w in weights.values() if w.is_floating_point())
            options: dict[str, Any] = {"max_shard_size": max_shard_size, "variant": variant}
            save_checkpoint(path, self.config, weights, kind, dtype=stored, **options)
        with replacing_together(path) as create:
            self._write_more(path, create)

    def _save_adapter(
        self, path: Path, state_dict: Any, *, dtype: Any, variant: str | None, peft_format: bool
    ) -> bool:
        """Write the adapter in use instead of a checkpoint. RETURNS (bool): Whether there is one."""
        return False

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
    variant: str | None = None,
) -> None:
    """Write the weights of a model and its config, without the model.

    path (Path): Directory, made if it does not exist.
    weights (Mapping[str, Tensor]): By the names that they have in the model.
    architecture (str): Name of the model's class.
    dtype, max_shard_size, variant: As for `PretrainedMixin.save_pretrained`.
    """
    tied = TIED if config.tie_word_embeddings else ()
    weights = {name: value for name, value in weights.items() if name not in tied}
    save_weights(weights, path, dtype=dtype, max_shard_size=max_shard_size, variant=variant)
    write_file(path / CONFIG_FILE, describe(config, [architecture], dtype).to_json_string())


def _expect_name(name: Any, state_dict: Any) -> Any:
    if name is None or state_dict is not None:
        raise InputError("Expected a checkpoint's name, or None with a config and a state_dict.")
    return name


def _config_of(config: Any, checkpoint: Checkpoint | None) -> BloomConfig:
    """RETURNS (BloomConfig): A copy of the caller's config, or the checkpoint's."""
    if isinstance(config, BloomConfig):
        return copy.deepcopy(config)
    if isinstance(config, (str, os.PathLike)):
        return BloomConfig.from_pretrained(config)
    if config is not None:  # transformers' own
        return BloomConfig.from_dict(config.to_diff_dict())
    if checkpoint is None:
        raise InputError("Expected a config with a state_dict.")
    return copy.deepcopy(checkpoint.config)


def _changed(config: BloomConfig, changes: dict[str, Any]) -> BloomConfig:
    """RETURNS (BloomConfig): With other values of fields that it has. RAISES (InputError): See `_expect_fields`."""
    _expect_fields(config, changes)
    return config.replace(**changes) if changes else config


def _expect_fields(config: BloomConfig, changes: Mapping[str, Any]) -> None:
    """RAISES (InputError): Names that are no fields, which would have no effect."""
    unknown = sorted(name for name in changes if name != "extra" and not hasattr(config, name))
    if unknown:
        raise InputError(
            "Expected dtype, device, device_map, placement, revision, local_files_only, config, num_layers, "
            f"quantization, other arguments of `from_pretrained`, or fields of BloomConfig; got {', '.join(unknown)}."
        )


def _way(
    device: Any, placement: Placement | None, tensor_parallel: bool, device_map: Any, max_memory: Any
) -> tuple[Callable[..., Any], dict[str, Any]]:
    """RETURNS (tuple[Callable, dict]): What loads, and its arguments that say where to.
    RAISES (InputError): Several arguments say where weights go.
    """
    ways = {"placement": placement, "tensor_parallel": tensor_parallel or None, "device_map": device_map}
    given = [name for name, way in ways.items() if way is not None]
    if len(given) > 1:
        raise InputError(
            f"Expected one of placement, tensor_parallel and device_map, got {' and '.join(given)}."
        )
    if tensor_parallel:
        return SPREADS["tensor_parallel"], {"device": device}
    if device_map is None:
        return load_model, {"device": device, "placement": placement}
    one = one_device(device_map)
    if one is not None:
        return load_model, {"device": one}
    return SPREADS["device_map"], {"device_map": device_map, "max_memory": max_memory}
