"""Checkpoints: where they are, which weights they hold under which names, and how files are read and written."""
