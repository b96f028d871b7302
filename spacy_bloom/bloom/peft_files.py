"""peft: the library, where it is installed, and its files."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from ..checkpoint.files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, variant_name
from ..checkpoint.names import PREFIX
from ..errors import CheckpointError, ConfigError
from ..files import replacing_together, to_json, write_text

PEFT_PREFIX = "base_model.model."  # of names in peft's files


def import_peft(purpose: str) -> Any:
    """RETURNS (module): peft. RAISES (ConfigError): It is not installed.

    purpose (str): What it is wanted for, for the error.
    """
    try:
        import peft
    except ImportError as error:
        raise ConfigError(
            f"Expected peft to be installed for {purpose}, got {error}. Run `pip install spacy-bloom[lora]`. To use a "
            "trained pipeline without peft, save it with lora.merge = true."
        ) from error
    return peft


def read_settings(name: Any, options: Mapping[str, Any]) -> Any:
    """RETURNS (PeftConfig): Of an adapter's files. RAISES (CheckpointError): There are none, or they name code."""
    peft = import_peft("adapters")
    try:
        config = peft.PeftConfig.from_pretrained(name, **options)
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise CheckpointError(f"Expected an adapter of peft in {name}: {error}") from error
    if getattr(config, "megatron_config", None) is not None:  # peft would import what it names
        raise CheckpointError(
            f"Got megatron_config in the settings of {name}: no code is run that files name."
        )
    return config


def read_weights(name: Any, options: Mapping[str, Any]) -> Mapping[str, Tensor]:
    peft = import_peft("adapters")
    try:
        return peft.load_peft_weights(name, device="cpu", **options)
    except Exception as error:  # of readers, of the Hub's client, of unpickling
        raise CheckpointError(f"Expected the weights of an adapter in {name}: {error}") from error


def renamed(weights: Mapping[str, Tensor], patterns: Mapping[str, str]) -> dict[str, Tensor]:
    """RETURNS (dict[str, Tensor]): By names without peft's prefix, after the first pattern that is in each."""
    renamed = {}
    for name, value in weights.items():
        own = name.removeprefix(PEFT_PREFIX)
        for pattern, replacement in patterns.items():
            own, found = re.subn(pattern, replacement, own)
            if found:
                break
        renamed[own] = value
    return renamed


def match_weights(weights: Mapping[str, Tensor], names: set[str]) -> tuple[dict[str, Tensor], list[str]]:
    """Find the weights of a model; in files they may be with or without the decoder's prefix, or both.

    names (set[str]): Those in the model.
    RETURNS (tuple[dict[str, Tensor], list[str]]): Weights by these names, and the names of others.
    """
    found: dict[str, Tensor] = {}
    others = []
    for name, value in weights.items():
        second = name.removeprefix(PREFIX) if name.startswith(PREFIX) else PREFIX + name
        if name in names:
            found[name] = value
        elif second in names:
            found[second] = weights.get(second, value)
        else:
            others.append(name)
    return found, others


def write_adapter(path: Path, config: Any, weights: Mapping[str, Tensor], variant: str | None = None) -> None:
    """Write an adapter in peft's layout, as complete files. Equal weights give equal bytes.

    path (Path): Directory, made if it does not exist.
    config (PeftConfig): Its settings.
    weights (Mapping[str, Tensor]): By their names in the file.
    """
    settings = config.to_dict()
    settings = {key: sorted(value) if isinstance(value, set) else value for key, value in settings.items()}
    path.mkdir(parents=True, exist_ok=True)
    with replacing_together(path) as create:
        save_file(dict(weights), create(variant_name(ADAPTER_WEIGHTS[0], variant)), metadata={"format": "pt"})
        write_text(create(ADAPTER_CONFIG), to_json(settings))
