"""BLOOM's byte-level BPE tokenizer with Hugging Face's call signatures, on the `tokenizers` library."""

from .bloom_tokenizer import CONFIG_FILE, TOKENIZER_FILE, BloomTokenizerFast

__all__ = ["CONFIG_FILE", "TOKENIZER_FILE", "BloomTokenizerFast"]
