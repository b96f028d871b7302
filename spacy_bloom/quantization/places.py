"""Where a model has the layers that quantisation replaces."""

from collections.abc import Callable
from typing import Any

from torch import nn

from ..bloom.heads import BloomLanguageModel
from ..bloom.model import BloomModel, BloomPreTrainedModel
from ..checkpoint.quantized import HEAD, int8_layers
from ..config import BloomConfig


def decoder_of(model: BloomPreTrainedModel) -> BloomModel:
    """RETURNS (BloomModel): The decoder, of a model with a head too."""
    return model if isinstance(model, BloomModel) else model.get_submodule("transformer")  # type: ignore[return-value]


def layers_of(model: BloomPreTrainedModel) -> dict[str, nn.Linear]:
    """RETURNS (dict[str, Linear]): The blocks' linear layers by their names in the decoder, and a language model's
    head.
    """
    decoder = decoder_of(model)
    found: dict[str, Any] = {name: decoder.get_submodule(name) for name in int8_layers(len(decoder.h))[:-1]}
    if isinstance(model, BloomLanguageModel):
        found[HEAD] = model.lm_head
    return found


def replace_layers(
    model: BloomPreTrainedModel,
    embedding: nn.Module,
    linear: Callable[[str, nn.Linear], nn.Module],
    head: Callable[[nn.Linear], nn.Module],
) -> None:
    """Put other layers in their places.

    embedding (Module): In the embedding's place.
    linear (Callable): From a layer of a block, and its name, to what stands for it.
    head (Callable): Likewise, of a language model's head.
    """
    decoder = decoder_of(model)
    for name, layer in layers_of(model).items():
        if name == HEAD:
            model.lm_head = head(layer)
        else:
            place, _, last = name.rpartition(".")
            setattr(decoder.get_submodule(place), last, linear(name, layer))
    decoder.word_embeddings = embedding


def set_config(model: BloomPreTrainedModel, config: BloomConfig) -> None:
    """Give a model and its decoder another config."""
    model.config = config
    decoder_of(model).config = config
