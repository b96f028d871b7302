"""Greedy decoding and sampling: one compiled loop from the prompts to the last piece."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ..config import BloomConfig
from .cache import KeyValueCache, init_cache
from .model import LanguageModel, Params, bind
from .scores import Choice, gumbel


class Prompts(NamedTuple):
    """Rows to continue, padding on their left.

    ids, mask (jax.Array): Shape (batch, length), int32.
    limits (jax.Array): Pieces that may be added to each. Shape (batch,), int32.
    seeds (jax.Array): What is drawn for each. Shape (batch, 2), uint32.
    """

    ids: jax.Array
    mask: jax.Array
    limits: jax.Array
    seeds: jax.Array

    @property
    def lengths(self) -> jax.Array:
        """RETURNS (jax.Array): Pieces of each prompt. Shape (batch,)."""
        return self.mask.sum(axis=1)

    @property
    def keys(self) -> jax.Array:
        """RETURNS (jax.Array): The seeds as JAX takes them. Shape (batch,)."""
        return jax.random.wrap_key_data(self.seeds, impl="threefry2x32")


def last_logits(
    model: LanguageModel, ids: jax.Array, mask: jax.Array, cache: KeyValueCache
) -> tuple[jax.Array, KeyValueCache]:
    """RETURNS (tuple[jax.Array, KeyValueCache]): Logits after the last of the pieces, float32, shape
    (rows, vocab_size); and the cache with these pieces.
    """
    output = model.transformer(ids, mask, cache)
    logits = model.logits(output.last_hidden_state[:, -1])
    return logits.astype(jnp.float32), output.past_key_values  # type: ignore[return-value]


def prefill(
    model: LanguageModel, config: BloomConfig, prompts: Prompts, room: int
) -> tuple[jax.Array, KeyValueCache]:
    """RETURNS (tuple[jax.Array, KeyValueCache]): Logits after the prompts, and a cache with `room` free columns."""
    batch, length = prompts.ids.shape
    dtype = model.transformer.ln_f.weight[...].dtype
    return last_logits(model, prompts.ids, prompts.mask, init_cache(config, batch, length + room, dtype))


class _State(NamedTuple):
    step: jax.Array  # ()
    logits: jax.Array  # (rows, vocab_size)
    pieces: jax.Array  # (rows, room)
    done: jax.Array  # (rows,)
    cache: KeyValueCache


@partial(jax.jit, static_argnames=("config", "room", "copies"))
def decode(
    config: BloomConfig, params: Params, prompts: Prompts, *, choice: Choice, room: int, copies: int
) -> jax.Array:
    """Add the best or a drawn piece to each row, until all have ended.

    choice (Choice): How.
    room (int): Most pieces that can be added; the limits of the prompts are at most that.
    copies (int): Sequences for each prompt.
    RETURNS (jax.Array): What was added, then filling. Shape (batch * copies, room), int32.
    """
    model = bind(LanguageModel, config, params)
    logits, cache = prefill(model, config, prompts, room)
    numbers = jnp.tile(jnp.arange(copies), len(prompts.limits))
    logits, limits, lengths, keys = (
        jnp.repeat(x, copies, axis=0) for x in (logits, prompts.limits, prompts.lengths, prompts.keys)
    )
    keys = jax.vmap(jax.random.fold_in)(keys, numbers)
    rows = len(numbers)

    def advance(state: _State) -> _State:
        scores = choice.adjust(state.logits, state.step, lengths)
        if choice.do_sample:
            scores = scores + gumbel(keys, state.step, scores.shape[-1])
        piece = jnp.where(state.done, choice.fill, scores.argmax(axis=-1)).astype(jnp.int32)
        done = state.done | choice.is_end(piece) | (state.step + 1 >= limits)
        pieces = state.pieces.at[:, state.step].set(piece)
        logits, cache = last_logits(model, piece[:, None], jnp.ones((rows, 1), jnp.int32), state.cache)
        return _State(state.step + 1, logits, pieces, done, cache)

    state = _State(
        step=jnp.zeros((), jnp.int32),
        logits=logits,
        pieces=jnp.full((rows, room), choice.fill, jnp.int32),
        done=jnp.zeros(rows, bool),
        cache=cache.map_rows(lambda array: jnp.repeat(array, copies, axis=0)),
    )
    return jax.lax.while_loop(lambda state: ~state.done.all(), advance, state).pieces
