"""Checkpoints: where they are, which weights they hold under which names, how files are read and written."""
