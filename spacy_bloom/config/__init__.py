"""BLOOM's configuration: checked when it is made and when it is changed, read from and written to `config.json`."""

from .bloom_config import ALIASES, PROBLEM_TYPES, BloomConfig
from .labels import MAX_LABELS

__all__ = ["ALIASES", "MAX_LABELS", "PROBLEM_TYPES", "BloomConfig"]
