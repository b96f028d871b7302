"""BLOOM with its language-modelling head, for the components that generate and score."""

from collections.abc import Callable, Sequence
from typing import Dict, Optional, Union

import numpy
from spacy import registry
from thinc.api import Model
from thinc.types import Floats1d

from ..bloom.model import BloomModel
from ..checkpoint.load import frame_model
from ..errors import ConfigError
from ..generation.causal_lm import BloomForCausalLM
from ..generation.scoring import surprisal
from .weights.checkpoint_shim import CheckpointShim
from .weights.settings import WeightSettings


class LanguageModelShim(CheckpointShim):
    """Holds a BloomForCausalLM and its tokenizer, or the name to load them from. See `CheckpointShim`."""

    model_class = BloomForCausalLM


@registry.architectures("spacy-bloom.LanguageModel.v2")
def create_language_model_v2(
    name: str = "tiny-bloom",
    dtype: str = "float32",
    storage_dtype: Optional[str] = None,
    revision: Optional[str] = None,
    quantization: Optional[str] = None,
    device_map: Union[str, Dict[str, Union[str, int]], None] = None,
) -> Model[Sequence[Sequence[int]], list[Floats1d]]:
    """BLOOM with its language-modelling head, loaded on first use. It shares memory with a transformer on the same
    checkpoint, as long as that is not trained.

    name (str): Checkpoint: bundled ("tiny-bloom"), a directory in the Hugging Face layout, or a Hub name.
    dtype (str): Dtype for computation: "float32", "bfloat16", "float16", or "auto" for the checkpoint's.
    storage_dtype (Optional[str]): Dtype that nlp.to_disk writes; None for the dtype of computation.
    revision (Optional[str]): Branch, tag or commit on the Hub.
    quantization (Optional[str]): "int8" for weights of 8 bits: less memory, more speed, a small loss; "float16"
        or "bfloat16" for weights of 16 bits beside float32 activations. None for the checkpoint's own.
    device_map (Union[str, Dict[str, Union[str, int]], None]): Where layers go, as for the transformer model.
    RETURNS (Model): Sequences of ids to the surprisal of every piece, in bits; NaN for the first of each.
    """
    shim = LanguageModelShim(WeightSettings(name, revision, dtype, storage_dtype, quantization, device_map))
    return Model("bloom-language-model", forward, shims=[shim])


@registry.architectures("spacy-bloom.LanguageModel.v1")
def create_language_model(
    name: str = "tiny-bloom",
    dtype: str = "float32",
    storage_dtype: Optional[str] = None,
    revision: Optional[str] = None,
) -> Model[Sequence[Sequence[int]], list[Floats1d]]:
    """See `create_language_model_v2`; without quantisation."""
    return create_language_model_v2(name, dtype, storage_dtype, revision)


def forward(
    model: Model[Sequence[Sequence[int]], list[Floats1d]], ids: Sequence[Sequence[int]], is_train: bool
) -> tuple[list[Floats1d], Callable]:
    """Ids to surprisal; see `create_language_model_v2`."""
    bits = surprisal(model.shims[0].module.eval(), ids)
    return [numpy.array(row, dtype="float32") for row in bits], _no_backprop


def _no_backprop(d_bits: list[Floats1d]) -> list:
    raise NotImplementedError(
        "A language model is trained with `python -m spacy bloom train-lm`, not with spacy train."
    )


def language_model_on(decoder: BloomModel) -> BloomForCausalLM:
    """Make a language model around an existing decoder, without weights of its own.

    RETURNS (BloomForCausalLM): The model, in evaluation mode like its decoder.
    RAISES (ConfigError): The head is not the embedding matrix, and a decoder does not have it.
    """
    if not decoder.config.tie_word_embeddings:
        raise ConfigError(
            "Got a transformer whose checkpoint has a separate language-modelling head, which the transformer does "
            "not have. Set upstream = null, and name the checkpoint in the component's model."
        )
    model = frame_model(BloomForCausalLM, decoder.config)
    model.transformer = decoder
    model.tie_weights()
    decoder.place_head(model)
    return model.eval()
