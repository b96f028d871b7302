"""BLOOM as flax.nnx modules, and as a pure function of its weights."""

from collections.abc import Iterator
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx, struct

from ..config import BloomConfig
from .alibi import attention_bias
from .block import Block, Key, LayerNorm, Linear
from .cache import KeyValueCache

# Weights by the names of the checkpoint files, "h.0.self_attention.dense.weight" for example.
Params = dict[str, jax.Array]


class _Output:
    """What models return: a JAX pytree, and like Hugging Face's outputs a tuple of the fields that are not None."""

    def to_tuple(self) -> tuple[Any, ...]:
        """RETURNS (tuple): The fields that were asked for, in order."""
        return tuple(value for value in vars(self).values() if value is not None)

    def first(self, length: int) -> Any:
        """RETURNS: The same of the first columns, where what was asked for was filled up behind them."""

        def cut(name: str, value: Any) -> Any:
            if name == "attentions":
                return jax.tree.map(lambda weights: weights[:, :, :length, :length], value)
            return jax.tree.map(lambda array: array[:, :length], value)

        return type(self)(**{name: cut(name, value) for name, value in vars(self).items()})

    def __getitem__(self, place: int | str) -> Any:
        return getattr(self, place) if isinstance(place, str) else self.to_tuple()[place]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.to_tuple())


@struct.dataclass
class FlaxBloomModelOutput(_Output):
    """What the decoder returns. Fields that were not asked for are None.

    last_hidden_state (jax.Array): After the final layer norm. Shape (batch, length, hidden_size).
    past_key_values (KeyValueCache | None): The cache that was given, with the keys and values of this call.
    hidden_states (tuple[jax.Array, ...] | None): Input of the first block, then the output of each block, the last one
        after the final layer norm. n_layer + 1 times shape (batch, length, hidden_size).
    attentions (tuple[jax.Array, ...] | None): n_layer times shape (batch, n_head, length, keys).
    """

    last_hidden_state: jax.Array
    past_key_values: KeyValueCache | None = None
    hidden_states: tuple[jax.Array, ...] | None = None
    attentions: tuple[jax.Array, ...] | None = None


@struct.dataclass
class FlaxBloomCausalLMOutput(_Output):
    """What the language model returns.

    logits (jax.Array): Shape (batch, length, vocab_size).
    past_key_values, hidden_states, attentions: As in FlaxBloomModelOutput.
    """

    logits: jax.Array
    past_key_values: KeyValueCache | None = None
    hidden_states: tuple[jax.Array, ...] | None = None
    attentions: tuple[jax.Array, ...] | None = None


class Decoder(nnx.Module):
    """Embeddings, blocks, final layer norm.

    config (BloomConfig): The geometry. Weights are shapes until they are bound.
    """

    def __init__(self, config: BloomConfig) -> None:
        self.n_head = config.n_head
        # (vocab_size, hidden_size), read row by row, and as a layer where it is the language model's head too.
        self.word_embeddings = Linear(config.hidden_size, config.vocab_size, bias=False)
        self.word_embeddings_layernorm = LayerNorm(config.hidden_size, config.layer_norm_epsilon)
        self.h = nnx.List([Block(config) for _ in range(config.n_layer)])
        self.ln_f = LayerNorm(config.hidden_size, config.layer_norm_epsilon)

    def __call__(
        self,
        ids: jax.Array,
        mask: jax.Array,
        cache: KeyValueCache | None = None,
        *,
        end: jax.Array | int | None = None,
        key: Key = None,
        remat: bool = False,
    ) -> FlaxBloomModelOutput:
        """
        ids (jax.Array): Shape (batch, length), int32.
        mask (jax.Array): 1 for pieces, 0 for padding on either side; of these pieces, or with a cache of all its
            columns. Shape (batch, length) or (batch, max_length), int32.
        cache (KeyValueCache | None): Earlier pieces.
        end (jax.Array | None): Columns in use without a cache; None for all. Shape ().
        key (Key): For dropout; None for none.
        remat (bool): Compute each block again in the backward pass instead of keeping its activations.
        RETURNS (FlaxBloomModelOutput): All fields.
        """
        length = ids.shape[1]
        start: jax.Array | int = 0
        end = length if end is None else end
        if cache is not None:
            start, end = cache.index, cache.index + length
            if mask.shape[1] == length:
                mask = jax.lax.dynamic_update_slice_in_dim(cache.mask, mask, start, axis=1)
        bias = attention_bias(self.n_head, mask, start, length, end)
        hidden = self.word_embeddings_layernorm(jnp.take(self.word_embeddings.weight[...], ids, axis=0))
        states, attentions, held = [], [], []
        for layer, block in enumerate(self.h):
            states.append(hidden)
            run = jax.checkpoint(block) if remat else block
            earlier = None if cache is None else (cache.keys[layer], cache.values[layer])
            layer_key = None if key is None else jax.random.fold_in(key, layer)
            hidden, keys_values, weights = run(hidden, bias, earlier, start, layer_key)
            attentions.append(weights)
            held.append(keys_values)
        states.append(self.ln_f(hidden))
        if cache is not None:
            keys, values = zip(*held, strict=True)
            cache = KeyValueCache(keys, values, mask, cache.index + length)
        return FlaxBloomModelOutput(states[-1], cache, tuple(states), tuple(attentions))


class LanguageModel(nnx.Module):
    """The decoder with a head on every piece, by default the embedding matrix itself.

    config (BloomConfig): The geometry.
    """

    def __init__(self, config: BloomConfig) -> None:
        self.transformer = Decoder(config)
        if not config.tie_word_embeddings:
            self.lm_head = Linear(config.hidden_size, config.vocab_size, bias=False)
        self.tied = config.tie_word_embeddings

    def logits(self, hidden: jax.Array) -> jax.Array:
        """hidden (jax.Array): Shape (..., hidden_size). RETURNS (jax.Array): Shape (..., vocab_size)."""
        return (self.transformer.word_embeddings if self.tied else self.lm_head)(hidden)

    def __call__(
        self, ids: jax.Array, mask: jax.Array, *args: Any, **options: Any
    ) -> FlaxBloomCausalLMOutput:
        """Arguments as of Decoder."""
        output = self.transformer(ids, mask, *args, **options)
        logits = self.logits(output.last_hidden_state)
        return FlaxBloomCausalLMOutput(
            logits, output.past_key_values, output.hidden_states, output.attentions
        )


Kind = type[Decoder] | type[LanguageModel]


@lru_cache(maxsize=64)
def _split(kind: Kind, config: BloomConfig) -> tuple[nnx.GraphDef, dict[str, tuple[tuple, Any]]]:
    """RETURNS: What a module is without its weights; and of each weight, by name, its path and its shape."""
    graph, state = nnx.split(kind(config))
    return graph, {".".join(map(str, path)): (path, leaf) for path, leaf in nnx.to_flat_state(state)}


def param_shapes(kind: Kind, config: BloomConfig) -> dict[str, tuple[int, ...]]:
    """RETURNS (dict[str, tuple[int, ...]]): Shapes of a module's weights by name."""
    return {name: leaf.get_value().shape for name, (_, leaf) in _split(kind, config)[1].items()}


def bind(kind: Kind, config: BloomConfig, params: Params) -> Any:
    """RETURNS (nnx.Module): A module of this class with these weights, to be called while JAX traces."""
    graph, leaves = _split(kind, config)
    flat = [(path, leaf.replace(params[name])) for name, (path, leaf) in leaves.items()]
    return nnx.merge(graph, nnx.from_flat_state(flat))


@partial(jax.jit, static_argnames=("kind", "config", "attentions", "states"))
def run(
    kind: Kind,
    config: BloomConfig,
    params: Params,
    ids: jax.Array,
    mask: jax.Array,
    cache: KeyValueCache | None,
    end: jax.Array | None,
    key: Key,
    *,
    attentions: bool,
    states: bool,
) -> Any:
    """A module's output as a pure function, compiled once for each shape. Arguments as of Decoder.

    attentions, states (bool): Whether the output holds attention weights, hidden states of all layers.
    """
    output = bind(kind, config, params)(ids, mask, cache, end=end, key=key)
    return output.replace(
        attentions=output.attentions if attentions else None,
        hidden_states=output.hidden_states if states else None,
    )
