"""Mutated files, and processes that read them under watch."""
