"""A model with int8 weights, made from one with float weights or around a checkpoint's integers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from ..bloom.model import BloomPreTrainedModel
from ..checkpoint.quantized import FIELD, HEAD, INT8, float_columns, quantization_method
from ..errors import InputError
from .layers import Int8Embedding, Int8Linear, Int8LMHead
from .outliers import outlier_columns, recording_largest
from .places import decoder_of, layers_of, replace_layers, set_config

ModelT = TypeVar("ModelT", bound=BloomPreTrainedModel)


@dataclass(frozen=True)
class Int8Settings:
    """How a model is quantised.

    outlier_factor (float): A column stays in float where its largest activation is this many times the layer's median.
    max_float_share (float): Share of a layer's columns that may stay in float.
    calibration_pieces (int): Pieces that the model reads to find those columns.
    seed (int): Of the pieces, if no text is given.
    """

    outlier_factor: float = 5.0
    max_float_share: float = 1 / 16
    calibration_pieces: int = 512
    seed: int = 0


def quantize(
    model: ModelT, settings: Int8Settings | None = None, *, input_ids: Tensor | None = None
) -> ModelT:
    """Give a model int8 weights in its blocks, its embedding and its language-modelling head, in place.

    Layer norms, biases and classifiers become float32. Before, the model reads some pieces, and columns that meet
    outliers stay in float.

    model (ModelT): In any dtype; one layer at a time is in float32.
    settings (Int8Settings | None): How.
    input_ids (Tensor | None): What it reads: text that is like yours. Shape (pieces,). None for pieces drawn at random,
        which meet the same outliers in trained decoders.
    RETURNS (ModelT): The same model, in evaluation mode. Its config says what was done.
    RAISES (InputError): It is quantised already.
    """
    settings = settings or Int8Settings()
    if quantization_method(model.config):
        raise InputError("Expected a model with float weights, got one that is quantised already.")
    columns = _find_outliers(model, settings, input_ids)
    _replace_layers(model, columns)
    for parameter in model.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.float()
    entry = {"method": INT8, "float_columns": {name: found for name, found in columns.items() if found}}
    set_config(model, model.config.replace(extra={**model.config.extra, FIELD: entry}))
    return model.eval()


def quantized_frame(model: ModelT) -> ModelT:
    """Give a model on the meta device the layers that its config describes, to be filled with a checkpoint's integers.

    RETURNS (ModelT): The same model.
    RAISES (ConfigError): The config's columns in float are not those of this model.
    """
    _replace_layers(model, float_columns(model.config))
    return model


class Int8:
    """Quantisation by int8, for loading by name."""

    def quantize(self, model: ModelT) -> ModelT:
        """See `quantize`."""
        return quantize(model)

    def frame(self, model: ModelT) -> ModelT:
        """See `quantized_frame`."""
        return quantized_frame(model)


@torch.no_grad()
def _find_outliers(
    model: BloomPreTrainedModel, settings: Int8Settings, input_ids: Tensor | None
) -> dict[str, list[int]]:
    """RETURNS (dict[str, list[int]]): The columns that meet outliers, by layer."""
    if input_ids is None:
        generator = torch.Generator().manual_seed(settings.seed)
        size = (settings.calibration_pieces,)
        input_ids = torch.randint(model.config.vocab_size, size, generator=generator)
    model.eval()
    layers = {name: layer for name, layer in layers_of(model).items() if name != HEAD}
    with recording_largest(layers) as largest:
        hidden = decoder_of(model).encode_packed(input_ids.to(model.device), [len(input_ids)])
    largest[HEAD] = hidden.abs().amax(dim=0).float()  # a language model may come to stand on any decoder
    factor, share = settings.outlier_factor, settings.max_float_share
    return {n: outlier_columns(v, factor=factor, max_share=share).tolist() for n, v in largest.items()}


def _replace_layers(model: BloomPreTrainedModel, columns: Mapping[str, Sequence[int]]) -> None:
    embedding = Int8Embedding.of(decoder_of(model).word_embeddings)
    tied = embedding if model.config.tie_word_embeddings else None
    replace_layers(
        model,
        embedding,
        lambda name, linear: Int8Linear.of(linear, _columns(linear, columns.get(name))),
        lambda head: Int8LMHead.of(head, _columns(head, columns.get(HEAD)), tied),
    )


def _columns(linear: nn.Linear, columns: Sequence[int] | None) -> Tensor:
    """RETURNS (Tensor): Columns where the weight is. They are known numbers on the meta device, too."""
    device = "cpu" if linear.weight.is_meta else linear.weight.device
    return torch.tensor(columns or (), dtype=torch.long, device=device)
