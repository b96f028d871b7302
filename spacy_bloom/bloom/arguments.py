"""Arguments of the forward pass that are there because scripts for Hugging Face's classes pass them."""

import warnings
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError


def expect_no_head_mask(head_mask: Any) -> None:
    """RAISES (InputError): There is one, or a list that says something of a block."""
    blocks = head_mask if isinstance(head_mask, (list, tuple)) else [head_mask]
    if any(mask is not None for mask in blocks):
        raise InputError(
            "Expected head_mask to be None: no head can be left out here. To see what a head does, ask for "
            "output_attentions=True; to remove it, set its columns of `self_attention.dense.weight` to 0."
        )


def check_cache_position(cache_position: Tensor | None, past: int, new: int) -> None:
    """Positions follow from the cache and the mask; what a caller says of them must agree.

    cache_position (Tensor | None): Places of the new pieces among all. Shape (new,).
    RAISES (InputError): It says something else. On other devices than the CPU only the shape is looked at, as reading
        the numbers would wait for the device.
    """
    if cache_position is None or torch.compiler.is_compiling():
        return
    agrees = cache_position.shape == (new,)
    if agrees and cache_position.device.type == "cpu":
        agrees = torch.equal(cache_position.long(), torch.arange(past, past + new))
    if not agrees:
        raise InputError(
            f"Expected cache_position to count from {past} to {past + new - 1}, as the cache holds {past} pieces and "
            f"there are {new} new ones; got {cache_position.tolist()[:20]}. It can be left out."
        )


def take_num_items(others: dict[str, Any]) -> Any:
    """Take what a head uses out of the further arguments.

    others (dict[str, Any]): Loses its entries.
    RETURNS (Tensor | int | None): num_items_in_batch, by which trainers have the sum of the losses divided.
    RAISES (InputError): There are others.
    """
    items = others.pop("num_items_in_batch", None)
    expect_nothing_else(others)
    return items


def expect_nothing_else(others: dict[str, Any]) -> None:
    """Positions are those of the mask; BLOOM never used others, so that giving some is warned of.

    RAISES (InputError): There are arguments that no model takes.
    """
    if others.pop("position_ids", None) is not None:
        warnings.warn(
            "BLOOM has no use for `position_ids`: positions follow from attention_mask. They need not be passed.",
            FutureWarning,
            stacklevel=3,
        )
    if others:
        raise InputError(f"Got unexpected arguments: {', '.join(sorted(others))}.")
