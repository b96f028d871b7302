"""LoRA: small matrices beside BLOOM's linear layers learn, and its own weights stay as they are.

The adapters are peft's and are put into the model from outside. The model does not know about them: its fast paths
check whether a linear layer is a plain one, and call the layer itself if not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from typing_extensions import Self

from ..bloom.model import BloomModel
from ..bloom.peft_files import import_peft
from ..settings import PositiveInt, Rate, check_settings, from_settings, list_of, number, one_of

TARGETS = ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h")
ADAPTER = "default"
A, B, BASE = "lora_A", "lora_B", "base_layer"


@dataclass(frozen=True)
class LoraSettings:
    """The adapters' size and place.

    r (int): Rank.
    alpha (float): The output is scaled by alpha / r.
    dropout (float): Dropout on the input, in training.
    targets (Sequence[str]): The linear layers of each block that get an adapter.
    merge (bool): Whether to save one checkpoint with the adapters added to its weights, instead of both apart.
    RAISES (ConfigError): A value is out of range.
    SOURCE: Hu et al. 2021 (arXiv 2106.09685); names and files as in peft.
    """

    r: PositiveInt = 8
    alpha: Annotated[float, number(above=0)] = 16.0
    dropout: Rate = 0.0
    targets: Annotated[Sequence[str], list_of(one_of(*TARGETS), at_least=1)] = ("query_key_value", "dense")
    merge: bool = False

    @classmethod
    def from_config(cls, settings: Mapping[str, Any] | None) -> Self | None:
        """RETURNS (LoraSettings | None): Of the settings in a pipeline's config; None without any."""
        return None if settings is None else from_settings(cls, "lora", settings)

    def __post_init__(self) -> None:
        check_settings(self, "lora")


def add_lora(model: BloomModel, settings: LoraSettings) -> None:
    """Put adapters into a model, in place. Only they learn; the model's output is the same until they do.

    RAISES (ConfigError): peft is not installed.
    """
    peft = import_peft("lora")
    config = peft.LoraConfig(
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=list(settings.targets),
    )
    training = model.training
    peft.inject_adapter_in_model(config, model, adapter_name=ADAPTER)
    model.train(training)


def has_lora(model: nn.Module) -> bool:
    """RETURNS (bool): Whether a model has adapters."""
    return any(f".{A}." in name for name, _ in model.named_parameters())


def linear_layers(model: BloomModel, targets: Sequence[str]) -> dict[str, nn.Linear]:
    """RETURNS (dict[str, Linear]): The linear layers with these names in all blocks."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.rpartition(".")[2] in targets
    }


def adapter_shapes(model: BloomModel, settings: LoraSettings) -> dict[str, tuple[int, ...]]:
    """RETURNS (dict[str, tuple[int, ...]]): What `adapter_weights` has once adapters are in a plain model."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, linear in linear_layers(model, settings.targets).items():
        shapes[f"{name}.{A}.weight"] = (settings.r, linear.in_features)
        shapes[f"{name}.{B}.weight"] = (linear.out_features, settings.r)
    return shapes


def base_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """RETURNS (dict[str, Parameter]): The model's own weights, by their names in a model without adapters."""
    return {
        name.replace(f".{BASE}.", "."): parameter
        for name, parameter in model.named_parameters()
        if not _is_adapter(name)
    }


def adapter_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """RETURNS (dict[str, Parameter]): The adapters' weights, by their names in peft's files without the prefix."""
    return {
        name.replace(f".{ADAPTER}.", "."): parameter
        for name, parameter in model.named_parameters()
        if _is_adapter(name)
    }


def load_adapter_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Set the weights of a model's adapters, by the names of `adapter_weights`."""
    with torch.no_grad():
        for name, parameter in adapter_weights(model).items():
            parameter.copy_(weights[name])


def merged_weights(model: BloomModel, settings: LoraSettings) -> dict[str, Tensor]:
    """RETURNS (dict[str, Tensor]): The weights of a plain model with the same output, added up in float32."""
    merged: dict[str, Tensor] = {name: weight.detach() for name, weight in base_weights(model).items()}
    adapters = adapter_weights(model)
    for name in adapters:
        layer, found, _ = name.partition(f".{A}.")
        if found:
            a, b = adapters[name].detach().float(), adapters[f"{layer}.{B}.weight"].detach().float()
            weight = merged[f"{layer}.weight"]
            merged[f"{layer}.weight"] = (weight.float() + settings.alpha / settings.r * (b @ a)).to(
                weight.dtype
            )
    return merged


def freeze_base(model: nn.Module) -> None:
    """Stop the model's own weights from learning; adapters go on."""
    for parameter in base_weights(model).values():
        parameter.requires_grad_(False)


def _is_adapter(name: str) -> bool:
    return f".{A}." in name or f".{B}." in name
