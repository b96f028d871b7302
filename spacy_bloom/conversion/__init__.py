"""Whole checkpoints: what one needs, its copy in another dtype or with fewer blocks, its copy with fewer pieces."""
