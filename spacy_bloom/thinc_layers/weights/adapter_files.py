"""Adapters in peft's files, in a folder `adapter` of the directory of the checkpoint they belong to. In the directory
itself transformers would take them for the whole checkpoint.
"""

from pathlib import Path
from typing import Any

import srsly
from safetensors.torch import save_file
from torch import Tensor

from ...bloom.model import BloomModel
from ...checkpoint.files import ADAPTER_CONFIG, ADAPTER_FOLDER, WeightFiles
from ...checkpoint.load import WeightSource, check_weights
from ...errors import CheckpointError, ConfigError
from ...files import replacing_together, to_json, write_text
from ...finetuning.lora import LoraSettings, adapter_shapes, adapter_weights, add_lora, load_adapter_weights

WEIGHTS = "adapter_model.safetensors"
# Settings of peft that change what the weights mean.
NOT_PLAIN = ("use_dora", "use_rslora", "alpha_pattern", "rank_pattern", "layers_to_transform")
PREFIX = "base_model.model."  # of names in peft's files


def adapter_config(settings: LoraSettings) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): The settings as peft writes them."""
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
    """RETURNS (dict[str, Tensor]): The adapters of a model, by their names in peft's files."""
    return {PREFIX + name: p.detach().cpu().contiguous() for name, p in adapter_weights(model).items()}


def write_adapter(model: BloomModel, settings: LoraSettings, path: Path) -> None:
    """Write the adapters of a model beside its checkpoint."""
    folder = path / ADAPTER_FOLDER
    folder.mkdir(exist_ok=True)
    with replacing_together(folder) as create:
        save_file(named_for_peft(model), create(WEIGHTS), metadata={"format": "pt"})
        write_text(create(ADAPTER_CONFIG), to_json(adapter_config(settings)))


def remove_adapter(path: Path) -> None:
    """Remove adapters that were saved there before: they do not belong to these weights."""
    folder = path / ADAPTER_FOLDER
    for name in (ADAPTER_CONFIG, WEIGHTS):
        (folder / name).unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def read_adapter(model: BloomModel, path: Path) -> LoraSettings:
    """Put the adapters of a checkpoint directory into its model.

    RETURNS (LoraSettings): What they are.
    RAISES (CheckpointError): The files are damaged or do not fit the model, which is left as it was.
    """
    folder = path / ADAPTER_FOLDER
    try:
        config = srsly.read_json(folder / ADAPTER_CONFIG)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"Expected JSON in {folder / ADAPTER_CONFIG}, got something else: {error}."
        ) from error
    return set_adapter(model, config, WeightFiles(folder, files=[folder / WEIGHTS]))


def set_adapter(model: BloomModel, config: Any, source: WeightSource) -> LoraSettings:
    """Put adapters into a model, once their shapes are known to be what the config says.

    config (Any): Content of `adapter_config.json`.
    source (WeightSource): The weights, by their names in peft's files.
    RETURNS (LoraSettings): What they are.
    RAISES (CheckpointError): The weights do not fit the config or the model.
    """
    settings = _settings(config, str(source))
    expected = {PREFIX + name: shape for name, shape in adapter_shapes(model, settings).items()}
    check_weights(expected, source.shapes, str(source), new_head=False)
    add_lora(model, settings)
    load_adapter_weights(model, {name: source[PREFIX + name] for name in adapter_weights(model)})
    return settings


def _list(names: list[str]) -> str:
    return f" ({', '.join(names)})" if names else ""


def _settings(config: Any, where: str) -> LoraSettings:
    try:
        other = [name for name in NOT_PLAIN if config.get(name)]
        if config["peft_type"] != "LORA" or config.get("bias", "none") != "none" or other:
            raise CheckpointError(
                f"Expected plain LoRA without biases in {where}, got another kind of adapter{_list(other)}."
            )
        targets = tuple(config["target_modules"])
        return LoraSettings(config["r"], config["lora_alpha"], config.get("lora_dropout", 0.0), targets)
    except (ConfigError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"Expected the settings of adapters in {where}, got {error!r}.") from error
