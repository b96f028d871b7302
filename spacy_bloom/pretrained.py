"""The public classes."""

from .bloom.heads import (
    BloomForQuestionAnswering,
    BloomForSequenceClassification,
    BloomForTokenClassification,
)
from .bloom.model import BloomModel
from .checkpoint.files import warn_of_adapter
from .checkpoint.load import to_dtype
from .generation.causal_lm import BloomForCausalLM
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
