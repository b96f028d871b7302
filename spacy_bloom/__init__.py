"""BLOOM as a shared transformer component of spaCy pipelines."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch

from .bloom.heads import (
    BloomForQuestionAnswering,
    BloomForSequenceClassification,
    BloomForTokenClassification,
)
from .bloom.model import BloomModel
from .bloom.pretrained_model import BloomPreTrainedModel
from .checkpoint.load import SPREADS
from .checkpoint.quantized import QUANTIZATIONS
from .checkpoint.sources import bundled_names, bundled_path, find_checkpoint
from .config import BloomConfig
from .generation.causal_lm import BloomForCausalLM
from .quantization.half import HalfWeights
from .quantization.quantize import Int8
from .tokenizer import BloomTokenizerFast

__version__ = "0.1.0"

__all__ = [
    "BloomConfig",
    "BloomForCausalLM",
    "BloomForQuestionAnswering",
    "BloomForSequenceClassification",
    "BloomForTokenClassification",
    "BloomModel",
    "BloomPreTrainedModel",
    "BloomTokenizerFast",
    "bundled_names",
    "bundled_path",
]

QUANTIZATIONS["int8"] = Int8()
QUANTIZATIONS.update((half.method, half) for half in map(HalfWeights, (torch.float16, torch.bfloat16)))
BloomConfig.find = staticmethod(find_checkpoint)


def _late(module: str, name: str) -> Callable[..., Any]:
    """RETURNS (Callable): A function of a room that is imported when it is first called."""
    return lambda *args, **options: getattr(import_module(module, __name__), name)(*args, **options)


SPREADS["tensor_parallel"] = _late(".parallel.tensor_parallel", "load_divided")
SPREADS["device_map"] = _late(".parallel.devices", "load_placed")

IN_JAX = ("FlaxBloomForCausalLM", "FlaxBloomModel", "FlaxBloomPreTrainedModel")


def __getattr__(name: str) -> Any:
    # JAX takes seconds to import, and need not be installed.
    if name in IN_JAX:
        return getattr(import_module(".bloom_jax", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
