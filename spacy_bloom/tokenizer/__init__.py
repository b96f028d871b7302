"""BLOOM's byte-level BPE tokenizer with Hugging Face's call signatures, on the `tokenizers` library."""

from .batch_encoding import BatchEncoding
from .bloom_tokenizer import BloomTokenizerFast
from .files import CONFIG_FILE, TOKENIZER_FILE

__all__ = ["CONFIG_FILE", "TOKENIZER_FILE", "BatchEncoding", "BloomTokenizerFast"]
