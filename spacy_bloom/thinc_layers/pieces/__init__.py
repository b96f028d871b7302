"""From Docs to pieces: alignment, windows, batches."""
