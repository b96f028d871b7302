"""Training of language models and tokenizers."""
