"""BLOOM as a shared transformer component of spaCy pipelines."""

from .config import BloomConfig
from .pretrained import BloomForCausalLM, BloomForTokenClassification, BloomModel
from .tokenizer import BloomTokenizerFast

__version__ = "0.1.0"

__all__ = [
    "BloomConfig",
    "BloomForCausalLM",
    "BloomForTokenClassification",
    "BloomModel",
    "BloomTokenizerFast",
]
