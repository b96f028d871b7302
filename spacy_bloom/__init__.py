"""BLOOM as a shared transformer component of spaCy pipelines."""

from .bloom.heads import (
    BloomForQuestionAnswering,
    BloomForSequenceClassification,
    BloomForTokenClassification,
)
from .bloom.model import BloomModel
from .checkpoint.load import QUANTIZATIONS
from .checkpoint.sources import bundled_path
from .config import BloomConfig
from .generation.causal_lm import BloomForCausalLM
from .quantization.quantize import Int8
from .tokenizer import BloomTokenizerFast

__version__ = "0.1.0"

__all__ = [
    "BloomConfig",
    "BloomForCausalLM",
    "BloomForQuestionAnswering",
    "BloomForSequenceClassification",
    "BloomForTokenClassification",
    "BloomModel",
    "BloomTokenizerFast",
    "bundled_path",
]

QUANTIZATIONS["int8"] = Int8()
