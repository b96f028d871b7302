"""Where weights, batches and caches lie when several devices share the work.

A mesh has the axes "data", over which the rows of a batch are shared out, and "model", over which weights are cut by
the table of rows and columns in `checkpoint/partition.py`. XLA derives the communication from that.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding, SingleDeviceSharding

from ..checkpoint.partition import cut_dimension
from ..config import BloomConfig
from ..errors import InputError

DATA, MODEL = "data", "model"


def check_mesh(mesh: Mesh, config: BloomConfig) -> None:
    """RAISES (InputError): A mesh whose axes are not these two, or that would cut a head in two."""
    if not set(mesh.axis_names) <= {DATA, MODEL}:
        raise InputError(f"Expected a mesh with the axes 'data' and 'model', got {mesh.axis_names}.")
    if config.n_head % mesh.shape.get(MODEL, 1):
        raise InputError(
            f"Expected a 'model' axis that divides the {config.n_head} attention heads, got {mesh.shape[MODEL]}."
        )


def as_auto(mesh: Mesh | None) -> Mesh | None:
    """RETURNS (Mesh | None): The same devices and axes, the latter such that XLA chooses how arrays between the weights
    are laid out. (What `jax.make_mesh` returns asks for that at every operation.)
    """
    return None if mesh is None else Mesh(mesh.devices, mesh.axis_names)


def weight_sharding(mesh: Mesh | None, name: str, shape: tuple[int, ...]) -> Sharding:
    """
    mesh (Mesh | None): None for JAX's default device.
    name (str): As in checkpoints.
    RETURNS (Sharding): Where the weight lies. A vocabulary that the devices do not divide is cut by columns.
    """
    if mesh is None:
        return SingleDeviceSharding(next(iter(jnp.zeros(()).devices())))
    size = mesh.shape.get(MODEL, 1)
    dimension = None if size == 1 else cut_dimension(name)
    if dimension is None:
        return NamedSharding(mesh, PartitionSpec())
    if shape[dimension] % size:
        dimension = 1 - dimension
    return NamedSharding(mesh, PartitionSpec(*[None] * dimension, MODEL))


def weight_shardings(mesh: Mesh | None, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Sharding]:
    """RETURNS (dict[str, Sharding]): Where each weight lies, by name."""
    return {name: weight_sharding(mesh, name, shape) for name, shape in shapes.items()}


def place_rows(mesh: Mesh | None, rows: Any) -> Any:
    """
    rows (Any): Arrays whose first dimension is the batch; None and scalars stay as they are.
    RETURNS (Any): On the mesh, the rows shared out over "data" if it divides their number, else whole everywhere.
    """
    if mesh is None:
        return rows
    size = mesh.shape.get(DATA, 1)

    def place(array: jax.Array) -> jax.Array:
        axes = (DATA,) if DATA in mesh.shape and array.ndim and array.shape[0] % size == 0 else ()
        return jax.device_put(array, NamedSharding(mesh, PartitionSpec(*axes)))

    return jax.tree.map(place, rows)
