"""A model whose weights stay in 16 bits, as BLOOM's are published, and that computes in float32."""

from typing import TypeVar

import torch

from ..bloom.model import BloomPreTrainedModel
from ..checkpoint.quantized import FIELD, quantization_method
from ..checkpoint.writing import check_range
from ..errors import InputError
from .half_layers import HalfEmbedding, HalfLinear, HalfLMHead
from .places import decoder_of, replace_layers, set_config

ModelT = TypeVar("ModelT", bound=BloomPreTrainedModel)


class HalfWeights:
    """Weights of the blocks, the embedding and the language-modelling head in 16 bits, for loading by name.

    Nothing else is rounded: the numbers are those of a 16-bit checkpoint that is computed in float32. Loaded from one
    that has the dtype, weights are the mapped files.

    dtype (torch.dtype): float16 or bfloat16.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.method = str(dtype).removeprefix("torch.")

    def quantize(self, model: ModelT) -> ModelT:
        """Give a model weights in 16 bits, in place.

        model (ModelT): In any dtype.
        RETURNS (ModelT): The same model, in evaluation mode. Its config says what was done.
        RAISES (InputError): It is quantised already.
        RAISES (CheckpointError): A weight is too large for the dtype.
        """
        if quantization_method(model.config):
            raise InputError("Expected a model with float weights, got one that is quantised already.")
        for name, parameter in model.named_parameters():
            check_range(name, parameter.detach(), self.dtype)
        self._replace_layers(model)
        for parameter in model.parameters():
            if (
                parameter.dim() < 2
            ):  # vectors: rounded too, so that a checkpoint in this dtype holds all there is
                parameter.data = parameter.data.to(self.dtype).float()
            elif parameter.dtype != self.dtype:  # of a classifier
                parameter.data = parameter.data.float()
        set_config(model, model.config.replace(extra={**model.config.extra, FIELD: {"method": self.method}}))
        return model.eval()

    def frame(self, model: ModelT) -> ModelT:
        """Give a model on the meta device these layers. RETURNS (ModelT): The same model."""
        self._replace_layers(model)
        return model

    def _replace_layers(self, model: BloomPreTrainedModel) -> None:
        embedding = HalfEmbedding.of(decoder_of(model).word_embeddings, self.dtype)
        replace_layers(
            model,
            embedding,
            lambda name, linear: HalfLinear.of(linear, self.dtype),
            lambda head: HalfLMHead.of(head, self.dtype),
        )
        model.tie_weights()
