"""Smaller vocabularies: only the pieces that a corpus needs."""
