"""What a generated text may be."""
