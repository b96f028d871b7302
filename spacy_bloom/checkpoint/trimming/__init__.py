"""Smaller vocabularies: only the pieces that a corpus needs."""

from .trim import plan_trimming, trim_checkpoint

__all__ = ["plan_trimming", "trim_checkpoint"]
