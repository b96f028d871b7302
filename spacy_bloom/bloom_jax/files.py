"""Weights from the files of a checkpoint to JAX arrays, each device reading its part, and back."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import Tensor

from ..checkpoint.files import WeightFiles
from ..checkpoint.load import READABLE, check_tied_head, match_weights, one_dtype
from ..checkpoint.names import EMBEDDING, PREFIX, TIED_HEAD, decoder_shapes
from ..checkpoint.pretrained import save_checkpoint
from ..config import BloomConfig
from ..errors import CheckpointError, InputError

DTYPES = ("float32", "bfloat16", "float16")


def to_jax_dtype(dtype: Any) -> jnp.dtype:
    """RETURNS (jnp.dtype): Of a name or of what JAX takes for one, `jnp.bfloat16` for example.
    RAISES (InputError): It is not one of the three.
    """
    try:
        found = jnp.dtype(dtype)
    except TypeError:
        found = None
    if found is None or found.name not in DTYPES:
        raise InputError(f"Expected dtype to be one of {DTYPES} or 'auto', got {dtype!r}.")
    return found


def read_params(
    files: WeightFiles,
    config: BloomConfig,
    shardings: Mapping[str, jax.sharding.Sharding],
    shapes: Mapping[str, tuple[int, ...]],
    dtype: str | jnp.dtype | None,
) -> dict[str, jax.Array]:
    """Every name and shape is checked before any weight is read; then each device reads its slices only.

    files (WeightFiles): The checkpoint's.
    config (BloomConfig): What they should hold.
    shardings (Mapping[str, Sharding]): Where each weight goes, by name.
    shapes (Mapping[str, tuple[int, ...]]): Of all weights that are wanted.
    dtype (str | jnp.dtype | None): Of the arrays; None or "auto" for the files'.
    RETURNS (dict[str, jax.Array]): The weights by name.
    RAISES (CheckpointError): Missing, unexpected or misshapen weights; all are listed.
    """
    in_file, _ = match_weights(shapes, files, new_head=False)
    if config.tie_word_embeddings and TIED_HEAD in in_file:
        embedding = next(name for name in shapes if name.endswith(EMBEDDING))
        check_tied_head(files, in_file[TIED_HEAD], in_file[embedding])
    target = _find_dtype({name: files[in_file[name]].dtype for name in shapes}, str(files), dtype)

    def read(name: str) -> jax.Array:
        parts: dict[str, np.ndarray] = {}  # several devices may have the same

        def part(index: Any) -> np.ndarray:
            if str(index) not in parts:
                weight = files.part(in_file[name], index)
                parts[str(index)] = to_numpy(weight).astype(target, copy=False)
            return parts[str(index)]

        return jax.make_array_from_callback(shapes[name], shardings[name], part)

    return {name: read(name) for name in shapes}


def _find_dtype(stored: Mapping[str, torch.dtype], where: str, dtype: str | jnp.dtype | None) -> jnp.dtype:
    """RETURNS (jnp.dtype): Of the arrays, from the dtypes of the files. RAISES (CheckpointError): These are others."""
    strange = sorted(name for name, kind in stored.items() if kind not in READABLE)
    if strange:
        raise CheckpointError(
            f"Expected weights in one of {READABLE}, got {stored[strange[0]]} of {strange[:5]}."
        )
    if dtype in (None, "auto"):
        dtype = str(one_dtype(stored.values(), where)).removeprefix("torch.")
    return to_jax_dtype(dtype)


def to_numpy(weight: Tensor) -> np.ndarray:
    """RETURNS (np.ndarray): The same memory; bfloat16 as JAX's type for numpy."""
    if weight.dtype == torch.bfloat16:
        return weight.view(torch.int16).numpy().view(jnp.bfloat16)
    return weight.numpy()


def to_torch(weight: jax.Array) -> Tensor:
    """RETURNS (Tensor): The weight, gathered from all devices to the CPU."""
    array = np.array(jax.device_get(weight))  # a copy: the memory of JAX arrays is not to be written to
    if array.dtype == jnp.bfloat16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def write_params(
    path: Path,
    config: BloomConfig,
    params: Mapping[str, jax.Array],
    architecture: str,
    dtype: jnp.dtype,
    max_shard_size: int | str,
) -> None:
    """Write a checkpoint that PyTorch's class of that name writes to the same bytes.

    path (Path): Directory, made if it does not exist.
    architecture (str): Name of the class.
    dtype (jnp.dtype): Of the files.
    """
    order = [*decoder_shapes(config), TIED_HEAD]
    names = sorted(params, key=lambda name: order.index(name.removeprefix(PREFIX)))
    weights = {name: to_torch(params[name]) for name in names}
    stored = getattr(torch, dtype.name)
    save_checkpoint(path, config, weights, architecture, dtype=stored, max_shard_size=max_shard_size)
