"""Adapters in peft's files, in a folder `adapter` of the directory of the checkpoint they belong to. In the directory
itself transformers would take them for the whole checkpoint.
"""

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from ...bloom.model import BloomModel
from ...checkpoint.files import (
    ADAPTER_ADVICE,
    ADAPTER_CONFIG,
    ADAPTER_FOLDER,
    ADAPTER_WEIGHTS,
    WeightSource,
)
from ...checkpoint.load import check_weights
from ...checkpoint.names import HEAD_CLASSES, is_head
from ...checkpoint.names import PREFIX as INSIDE
from ...errors import BloomWarning, CheckpointError, ConfigError
from ...files import replacing_together, to_json, write_text
from ...finetuning.lora import LoraSettings, adapter_shapes, adapter_weights, add_lora, load_adapter_weights

PREFIX = "base_model.model."  # of names in peft's files
# Settings of peft that do not change what the weights mean, or are followed here. Any other may, if it is set.
# fmt: off
FOLLOWED = frozenset((
    "auto_mapping", "base_model_name_or_path", "bias", "corda_config", "ensure_weight_tying", "eva_config",
    "exclude_modules", "fan_in_fan_out", "inference_mode", "init_lora_weights", "layers_pattern",
    "loftq_config", "lora_alpha", "lora_dropout", "lora_ga_config", "megatron_core", "modules_to_save",
    "peft_type", "peft_version", "qalora_group_size", "r", "revision", "target_modules", "task_type",
    "use_rslora",
))
# fmt: on
INITIALISATIONS = (
    None,
    True,
    False,
    "gaussian",
    "orthogonal",
    "eva",
)  # others change the weights under the adapters


def adapter_config(settings: LoraSettings) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): The settings in peft's format."""
    return {
        "peft_type": "LORA",
        "base_model_name_or_path": None,  # what is in the folder above
        "r": settings.r,
        "lora_alpha": settings.alpha,
        "lora_dropout": settings.dropout,
        "target_modules": sorted(settings.targets),
        "bias": "none",
        "fan_in_fan_out": False,
    }


def named_for_peft(model: BloomModel) -> dict[str, Tensor]:
    """RETURNS (dict[str, Tensor]): A model's adapters by their names in peft's files: as in a BloomModel, and again as
    in the classes with a head, so that peft finds them in all of them.
    """
    weights = {name: p.detach().cpu().contiguous() for name, p in adapter_weights(model).items()}
    alone = {PREFIX + name: value for name, value in weights.items()}
    return alone | {PREFIX + INSIDE + name: value.clone() for name, value in weights.items()}


def write_adapter(model: BloomModel, settings: LoraSettings, path: Path) -> None:
    """Write the adapters of a model beside its checkpoint."""
    remove_adapter(path)
    folder = path / ADAPTER_FOLDER
    folder.mkdir(exist_ok=True)
    with replacing_together(folder) as create:
        save_file(named_for_peft(model), create(ADAPTER_WEIGHTS[0]), metadata={"format": "pt"})
        write_text(create(ADAPTER_CONFIG), to_json(adapter_config(settings)))


def remove_adapter(path: Path) -> None:
    """Remove adapters that were in a checkpoint directory before: they do not belong to these weights."""
    for folder in (path, path / ADAPTER_FOLDER):
        for name in (ADAPTER_CONFIG, *ADAPTER_WEIGHTS):
            (folder / name).unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def set_adapter(model: BloomModel, config: Any, source: WeightSource) -> LoraSettings:
    """Put adapters into a model, once their shapes are known to be what the config says.

    config (Any): Content of `adapter_config.json`.
    source (WeightSource): The weights, by their names in peft's files.
    RETURNS (LoraSettings): What they are.
    RAISES (CheckpointError): They are not plain LoRA, or do not fit the config or the model.
    """
    settings = _settings(config, source)
    prefixes = _check_names(adapter_shapes(model, settings), source)
    for name in adapter_shapes(model, settings):
        if not all(torch.equal(source[prefix + name], source[prefixes[0] + name]) for prefix in prefixes[1:]):
            raise CheckpointError(
                f"Got different adapters for {name} in {source}, with and without {INSIDE!r}."
            )
    add_lora(model, settings)
    load_adapter_weights(model, {name: source[prefixes[0] + name] for name in adapter_weights(model)})
    return settings


def _check_names(shapes: Mapping[str, tuple[int, ...]], source: WeightSource) -> list[str]:
    """RETURNS (list[str]): What stands before the names of the adapters; two if all are there twice.
    RAISES (CheckpointError): Missing, unexpected or misshapen adapters; all are listed.
    """
    inside = [name for name in source.shapes if name.startswith(PREFIX + INSIDE)]
    heads = [name for name in source.shapes if is_head(name.removeprefix(PREFIX))]
    alone = [name for name in source.shapes if name not in {*inside, *heads}]
    groups = [(prefix, names) for prefix, names in ((PREFIX, alone), (PREFIX + INSIDE, inside)) if names]
    for prefix, names in groups or [(PREFIX, alone)]:
        expected = {prefix + name: shape for name, shape in shapes.items()}
        try:
            check_weights(expected, {n: source.shapes[n] for n in names}, str(source), new_head=False)
        except CheckpointError as error:
            raise CheckpointError(f"{error}\n{ADAPTER_ADVICE}") from None
    if heads:
        warnings.warn(
            f"The adapters in {source} come with weights of a head, which are not read: {heads[:4]}. {ADAPTER_ADVICE}",
            BloomWarning,
            stacklevel=2,
        )
    return [prefix for prefix, _ in groups] or [PREFIX]


def _settings(config: Any, source: WeightSource) -> LoraSettings:
    try:
        other = [name for name, value in config.items() if name not in FOLLOWED and value]
        other += ["init_lora_weights"] if config.get("init_lora_weights") not in INITIALISATIONS else []
        if config["peft_type"] != "LORA" or config.get("bias", "none") != "none" or other:
            listed = f" ({', '.join(other)})" if other else ""
            raise CheckpointError(
                f"Expected plain LoRA without biases in {source}, got another kind of adapter{listed}. {ADAPTER_ADVICE}"
            )
        # Dividing by the root of the rank is another alpha.
        scale = math.sqrt(config["r"]) if config.get("use_rslora") else 1.0
        dropout = config.get("lora_dropout", 0.0)
        return LoraSettings(config["r"], config["lora_alpha"] * scale, dropout, _targets(config, source))
    except (ConfigError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"Expected the settings of adapters for linear layers in {source}, got {error!r}. {ADAPTER_ADVICE}"
        ) from error


def _targets(config: Mapping[str, Any], source: WeightSource) -> tuple[str, ...]:
    """RETURNS (tuple[str, ...]): Last names of the layers with adapters. A pattern in the config is not run, since it
    could take any time: the weights show which layers it stood for.
    """
    named = config["target_modules"]
    if isinstance(named, str):
        named = [name.partition(".lora_")[0] for name in source.shapes]
    last = {name.rpartition(".")[2] for name in named}
    return tuple(sorted(last - set(HEAD_CLASSES)))
