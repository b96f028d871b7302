"""BLOOM with its language-modelling head, under the components that generate and score."""

from collections.abc import Callable, Sequence
from typing import Optional

import numpy
import torch
from spacy import registry
from thinc.api import Model
from thinc.types import Floats1d

from ..errors import ConfigError
from ..generation.scoring import surprisal
from ..pretrained import BloomForCausalLM, BloomModel
from .weights.settings import WeightSettings
from .weights.shim import CheckpointShim


class LanguageModelShim(CheckpointShim):
    """Holds a BloomForCausalLM and its tokenizer, or the name to load them from. See `CheckpointShim`."""

    model_class = BloomForCausalLM


@registry.architectures("spacy-bloom.LanguageModel.v1")
def create_language_model(
    name: str = "tiny-bloom",
    dtype: str = "float32",
    storage_dtype: Optional[str] = None,
    revision: Optional[str] = None,
) -> Model[Sequence[Sequence[int]], list[Floats1d]]:
    """BLOOM with its language-modelling head, loaded on first use. It holds the same memory as a transformer on
    the same checkpoint, as long as that is not trained.

    name (str): Checkpoint: bundled ("tiny-bloom"), a directory in the Hugging Face layout, or a Hub name.
    dtype (str): Dtype to compute in: "float32", "bfloat16", "float16", or "auto" for the checkpoint's.
    storage_dtype (Optional[str]): Dtype that nlp.to_disk writes; None is the computing dtype.
    revision (Optional[str]): Branch, tag or commit on the Hub.
    RETURNS (Model): Sequences of ids to the surprisal of every piece, in bits; NaN for the first of each.
    """
    shim = LanguageModelShim(WeightSettings(name, revision, dtype, storage_dtype))
    return Model("bloom-language-model", forward, shims=[shim])


def forward(
    model: Model[Sequence[Sequence[int]], list[Floats1d]], ids: Sequence[Sequence[int]], is_train: bool
) -> tuple[list[Floats1d], Callable]:
    """Ids to surprisal; see `create_language_model`."""
    bits = surprisal(model.shims[0].module.eval(), ids)
    return [numpy.array(row, dtype="float32") for row in bits], _no_backprop


def _no_backprop(d_bits: list[Floats1d]) -> list:
    raise NotImplementedError(
        "A language model learns by `python -m spacy bloom train-lm`, not by spacy train."
    )


def language_model_on(decoder: BloomModel) -> BloomForCausalLM:
    """A language model around a decoder that somebody else holds: no weights of its own.

    RETURNS (BloomForCausalLM): In evaluation mode, and with it the decoder.
    RAISES (ConfigError): The head is not the embedding matrix, and a decoder alone lacks it.
    """
    if not decoder.config.tie_word_embeddings:
        raise ConfigError(
            "Got a transformer whose checkpoint has a language-modelling head of its own, which the transformer "
            "does not hold. Set upstream = null and name the checkpoint in the component's model."
        )
    with torch.device("meta"):
        model = BloomForCausalLM(decoder.config)
    model.transformer = decoder
    model.tie_weights()
    return model.eval()
