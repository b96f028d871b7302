"""BLOOM's byte-level BPE tokenizer with Hugging Face's call signatures, on the `tokenizers` library."""

from .batch_encoding import BatchEncoding
from .bloom_tokenizer import BloomTokenizerFast

__all__ = ["BatchEncoding", "BloomTokenizerFast"]
