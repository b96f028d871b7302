"""BLOOM's byte-level BPE tokenizer with Hugging Face's call signatures, on the `tokenizers` library."""

from .bloom_tokenizer import BloomTokenizerFast

__all__ = ["BloomTokenizerFast"]
