"""BLOOM in PyTorch: no spaCy, no files, no network."""
