"""The inputs of a step of generation, as libraries that put something before the prompt ask for them."""

from typing import Any

import torch
from torch import Tensor


def prepare_inputs(
    input_ids: Tensor,
    past_key_values: Any = None,
    attention_mask: Tensor | None = None,
    inputs_embeds: Tensor | None = None,
    cache_position: Tensor | None = None,
    use_cache: bool | None = True,
    **others: Any,
) -> dict[str, Any]:
    """Leave what the cache holds out of the ids.

    input_ids (Tensor): All ids so far. Shape (batch, length).
    past_key_values (Any): The cache.
    attention_mask (Tensor | None): Over all pieces. Shape (batch, length).
    inputs_embeds (Tensor | None): Instead of the prompt's ids, in the first step. Shape (batch, prompt, hidden_size).
    cache_position (Tensor | None): Places of the new pieces; None for those after what the cache holds.
    use_cache (bool | None): As for the forward pass.
    **others: Not used.
    RETURNS (dict[str, Any]): Arguments of the forward pass.
    SOURCE: transformers' BloomForCausalLM.prepare_inputs_for_generation.
    """
    if cache_position is None:
        past = 0 if past_key_values is None else _length(past_key_values)
        end = input_ids.shape[1] if inputs_embeds is None else max(inputs_embeds.shape[1], input_ids.shape[1])
        cache_position = torch.arange(past, max(past + 1, end), device=input_ids.device)
    new = cache_position.shape[0]
    if past_key_values is not None:
        if inputs_embeds is not None and not input_ids.shape[1]:
            inputs_embeds = inputs_embeds[:, -new:]
        elif inputs_embeds is not None or cache_position[-1] >= input_ids.shape[1]:
            input_ids = input_ids[:, -new:]
        elif input_ids.shape[1] != new:
            input_ids = input_ids[:, cache_position]
    first = inputs_embeds is not None and inputs_embeds.shape[1] == new
    return {
        "input_ids": None if first else input_ids.contiguous(),
        "inputs_embeds": inputs_embeds if first else None,
        "cache_position": cache_position,
        "past_key_values": past_key_values,
        "use_cache": use_cache,
        "attention_mask": attention_mask,
    }


def _length(past: Any) -> int:
    return int(past.get_seq_length()) if hasattr(past, "get_seq_length") else past[0][0].shape[2]
