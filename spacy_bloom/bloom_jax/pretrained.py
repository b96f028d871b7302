"""The public classes: a config, weights, and calls that JAX can trace."""

import os
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from typing_extensions import Self

from ..checkpoint.directory import Checkpoint
from ..config import BloomConfig
from ..errors import InputError
from .buckets import bucket
from .cache import KeyValueCache, init_cache
from .files import read_params, to_jax_dtype, write_params
from .inputs import concrete, to_batch
from .model import Decoder, Kind, Params, param_shapes, run
from .placement import as_auto, check_mesh, place_rows, weight_shardings


class FlaxBloomPreTrainedModel:
    """What the decoder and the language model share. Weights are random until loaded.

    config (BloomConfig): The geometry.
    seed (int): What random weights are drawn from.
    dtype (str | jnp.dtype): "float32", "bfloat16" or "float16", of weights and activations. Biases, softmax and layer
        norms are computed in float32 in every dtype.
    mesh (Mesh | None): Devices to share the work, with the axes "data" and "model"; None for JAX's default device.
    params (dict[str, jax.Array]): The weights, by the names of the checkpoint files. Any call takes others instead.
    SOURCE: transformers' FlaxBloomPreTrainedModel in names and arguments.
    """

    module: ClassVar[Kind]
    architecture: ClassVar[str]  # the PyTorch class that reads the same directory

    def __init__(
        self,
        config: BloomConfig,
        *,
        seed: int = 0,
        dtype: str | jnp.dtype = "float32",
        mesh: Mesh | None = None,
    ) -> None:
        self._set_up(config, mesh)
        shapes, target = param_shapes(self.module, config), to_jax_dtype(dtype)
        draw = jax.jit(
            lambda key: _draw(key, shapes, config.initializer_range, target),
            out_shardings=weight_shardings(self.mesh, shapes),
        )
        self.params: Params = draw(jax.random.key(seed))

    def _set_up(self, config: BloomConfig, mesh: Mesh | None) -> None:
        if mesh is not None:
            check_mesh(mesh, config)
        self.config, self.mesh = config, as_auto(mesh)

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike,
        *,
        dtype: str | jnp.dtype | None = "float32",
        mesh: Mesh | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        config: BloomConfig | None = None,
    ) -> Self:
        """Load a checkpoint, the same files as PyTorch's classes. With a mesh, each device reads its slices only.

        name (str | PathLike): Bundled name, directory in the Hugging Face layout, or Hub name.
        dtype (str | jnp.dtype | None): Of weights and activations; "auto" keeps the files'.
        mesh (Mesh | None): Devices to share the work, with the axes "data" and "model".
        revision (str | None): Branch, tag or commit on the Hub.
        local_files_only (bool): Make no network call.
        config (BloomConfig | None): Instead of the checkpoint's `config.json`.
        RETURNS (Self): The model.
        RAISES (CheckpointError): No such checkpoint, or weights that are not what the config says.
        RAISES (InputError): An unknown dtype, or a mesh that does not fit.
        """
        checkpoint = Checkpoint.find(name, revision=revision, local_files_only=local_files_only)
        model = cls.__new__(cls)
        model._set_up(checkpoint.config if config is None else config, mesh)
        shapes = param_shapes(cls.module, model.config)
        shardings = weight_shardings(model.mesh, shapes)
        model.params = read_params(checkpoint.weights, model.config, shardings, shapes, dtype)
        model._read_more(checkpoint)
        return model

    def save_pretrained(
        self,
        path: str | os.PathLike,
        *,
        params: Params | None = None,
        dtype: str | jnp.dtype | None = None,
        max_shard_size: int | str = "2GB",
    ) -> None:
        """Write config and weights as safetensors: a directory that the PyTorch classes, spaCy pipelines and Hugging
        Face load.

        path (str | PathLike): Directory, made if it does not exist.
        params (dict[str, jax.Array] | None): Instead of the model's own, for example trained ones.
        dtype (str | jnp.dtype | None): Of the files; None keeps the weights'.
        max_shard_size (int | str): Bytes, or text such as "500MB". Larger models are written as shards with an index.
        """
        params = self.params if params is None else params
        stored = self.dtype if dtype is None else to_jax_dtype(dtype)
        write_params(Path(path), self.config, params, self.architecture, stored, max_shard_size)
        self._write_more(Path(path))

    def _read_more(self, checkpoint: Checkpoint) -> None:
        """Read what a class keeps in further files."""

    def _write_more(self, path: Path) -> None:
        """Write these files."""

    @property
    def dtype(self) -> jnp.dtype:
        """RETURNS (jnp.dtype): Of the weights."""
        return next(iter(self.params.values())).dtype

    def num_parameters(self) -> int:
        """RETURNS (int): Number of weights; tied ones count once."""
        return sum(weight.size for weight in self.params.values())

    def init_cache(self, batch_size: int, max_length: int) -> KeyValueCache:
        """RETURNS (KeyValueCache): Empty, for `past_key_values`.
        batch_size (int): Number of rows.
        max_length (int): Most pieces of a row, padding included.
        """
        return place_rows(self.mesh, init_cache(self.config, batch_size, max_length, self.dtype))

    def __call__(
        self,
        input_ids: Any,
        attention_mask: Any = None,
        past_key_values: KeyValueCache | None = None,
        params: Params | None = None,
        dropout_rng: jax.Array | None = None,
        train: bool = False,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """Run a padded batch. Works under `jax.jit`, `jax.grad` and `jax.vmap`. Outside of these, batches are filled up
        to a few lengths, so that a new length seldom means a new compilation; the results are those of the batch.

        input_ids (Array): Integers; of numpy, JAX or nested lists. Shape (batch, length).
        attention_mask (Array | None): 1 for pieces, 0 for padding on either side; None for no padding.
            Shape (batch, length). With a cache, that of all its columns will do too. Shape (batch, max_length).
        past_key_values (KeyValueCache | None): What `init_cache` or an earlier call returned. It remembers its mask.
        params (dict[str, jax.Array] | None): Instead of the model's own.
        dropout_rng (jax.Array | None): Key for dropout, needed with `train` where the config has dropout.
        train (bool): Whether there is dropout.
        output_attentions, output_hidden_states (bool | None): None means as configured.
        return_dict (bool | None): False for a tuple of what was asked for.
        RETURNS (FlaxBloomModelOutput | FlaxBloomCausalLMOutput | tuple): See there.
        RAISES (InputError): Shapes or ids that do not fit, a cache without room, dropout without a key.
        """
        ids, mask = to_batch(self.config, input_ids, attention_mask, past_key_values)
        output = self._run(
            self.params if params is None else params,
            ids,
            mask,
            past_key_values,
            self._dropout_key(train, dropout_rng),
            attentions=self.config.output_attentions if output_attentions is None else output_attentions,
            states=self.config.output_hidden_states if output_hidden_states is None else output_hidden_states,
        )
        return output.to_tuple() if return_dict is False else output

    def _run(
        self, params: Params, ids: Any, mask: Any, cache: KeyValueCache | None, key: Any, **wanted: bool
    ) -> Any:
        length = ids.shape[1]
        if cache is not None or concrete(ids) is None or concrete(mask) is None:
            ids, mask = place_rows(self.mesh, (ids, mask))
            return run(self.module, self.config, params, ids, mask, cache, None, key, **wanted)
        fill = ((0, 0), (0, bucket(length) - length))
        ids, mask = place_rows(self.mesh, (np.pad(ids, fill), np.pad(mask, fill)))
        output = run(self.module, self.config, params, ids, mask, None, np.int32(length), key, **wanted)
        return output.first(length) if bucket(length) > length else output

    def _dropout_key(self, train: bool, key: jax.Array | None) -> jax.Array | None:
        if not train or not (self.config.hidden_dropout or self.config.attention_dropout):
            return None
        if key is None:
            raise InputError(
                "Expected dropout_rng with train=True, as the config has dropout: pass for example jax.random.key(0), "
                "and another key at every step."
            )
        return key


def _draw(key: jax.Array, shapes: dict[str, tuple[int, ...]], std: float, dtype: jnp.dtype) -> Params:
    """RETURNS (Params): Random weights as the PyTorch classes have: normal matrices, zero biases, unit layer norms."""

    def draw(key: jax.Array, name: str) -> jax.Array:
        if len(shapes[name]) == 1:
            return jnp.full(shapes[name], float(name.endswith(".weight")), dtype)
        return (jax.random.normal(key, shapes[name]) * std).astype(dtype)

    keys = jax.random.split(key, len(shapes))
    return {name: draw(key, name) for key, name in zip(keys, shapes, strict=True)}


class FlaxBloomModel(FlaxBloomPreTrainedModel):
    """BLOOM without a head. Arguments as of FlaxBloomPreTrainedModel; calls return FlaxBloomModelOutput."""

    module = Decoder
    architecture = "BloomModel"
