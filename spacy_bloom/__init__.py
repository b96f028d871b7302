"""BLOOM as a shared transformer component of spaCy pipelines."""

from .checkpoint.sources import bundled_path
from .config import BloomConfig
from .pretrained import (
    BloomForCausalLM,
    BloomForQuestionAnswering,
    BloomForSequenceClassification,
    BloomForTokenClassification,
    BloomModel,
    BloomTokenizerFast,
)

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
