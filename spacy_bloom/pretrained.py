"""The public classes."""

from .bloom.heads import (
    BloomForQuestionAnswering,
    BloomForSequenceClassification,
    BloomForTokenClassification,
)
from .bloom.model import BloomModel
from .checkpoint.files import warn_of_adapter
from .checkpoint.load import QUANTIZATIONS, to_dtype
from .generation.causal_lm import BloomForCausalLM
from .quantization.quantize import Int8
from .tokenizer import BloomTokenizerFast

__all__ = [
    "BloomForCausalLM",
    "BloomForQuestionAnswering",
    "BloomForSequenceClassification",
    "BloomForTokenClassification",
    "BloomModel",
    "BloomTokenizerFast",
    "to_dtype",
    "warn_of_adapter",
]

QUANTIZATIONS["int8"] = Int8()
